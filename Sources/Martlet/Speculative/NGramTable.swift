/// Where each n-gram of a text ends last: a hash table with open addressing that stores positions only.
///
/// An n-gram is compared with the text itself, so a hash never decides. The hash is seeded, so nobody can write a text
/// whose n-grams all collide.
struct NGramTable: Sendable {
    let length: Int
    /// Position + 1 of an n-gram's last token, or 0. As many as a power of two, at most half of them taken.
    private var slots: [Int32] = Array(repeating: 0, count: 16)
    private var count = 0
    private let seed: UInt64

    init(length: Int, seed: UInt64) {
        self.length = length
        self.seed = seed
    }

    /// Enters the n-gram that ends at `position`.
    ///
    /// - Returns: where it ended last, or nil if it is new.
    mutating func insert(endingAt position: Int, of tokens: borrowing [Int32]) -> Int? {
        if 2 * (count + 1) > slots.count { grow(tokens) }
        let slot = find(endingAt: position, of: tokens)
        let previous = Int(slots[slot]) - 1
        if previous < 0 { count += 1 }
        slots[slot] = Int32(truncatingIfNeeded: position + 1)
        return previous < 0 ? nil : previous
    }

    private func find(endingAt position: Int, of tokens: borrowing [Int32]) -> Int {
        let mask = slots.count - 1
        var slot = hash(endingAt: position, of: tokens) & mask
        while slots[slot] != 0, !Self.agree(position, Int(slots[slot]) - 1, length, tokens) {
            slot = (slot + 1) & mask
        }
        return slot
    }

    private mutating func grow(_ tokens: borrowing [Int32]) {
        let old = slots
        slots = Array(repeating: 0, count: 2 * old.count)
        for entry in old where entry != 0 { slots[find(endingAt: Int(entry) - 1, of: tokens)] = entry }
    }

    /// Multiplications and shifts as in SplitMix64, once per token.
    private func hash(endingAt position: Int, of tokens: borrowing [Int32]) -> Int {
        var hash = seed
        for index in position - length + 1...position {
            hash = (hash ^ UInt64(UInt32(bitPattern: tokens[index]))) &* 0xBF58_476D_1CE4_E5B9
            hash ^= hash >> 29
        }
        return Int(truncatingIfNeeded: hash >> 16)
    }

    private static func agree(_ a: Int, _ b: Int, _ length: Int, _ tokens: borrowing [Int32]) -> Bool {
        for back in 0..<length where tokens[a - back] != tokens[b - back] { return false }
        return true
    }
}
