/// BPE merges by the pair of tokens that they join: open addressing, one cache line a lookup.
struct PairTable: Sendable {
    struct Merge: Sendable {
        /// Lower ranks merge first.
        var rank: UInt32
        var result: TokenID
    }

    private static let free = UInt64.max
    private var keys: [UInt64] = []
    private var merges: [Merge] = []
    private var count = 0
    private let hash = ByteHash.Key()

    init(minimumCapacity: Int) {
        var capacity = 16
        while capacity < minimumCapacity * 2 { capacity *= 2 }
        keys = [UInt64](repeating: Self.free, count: capacity)
        merges = [Merge](repeating: Merge(rank: 0, result: 0), count: capacity)
    }

    @inline(__always)
    private static func key(_ left: TokenID, _ right: TokenID) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The last merge that is stored for a pair counts. Tokens must not be negative.
    mutating func insert(_ left: TokenID, _ right: TokenID, _ merge: Merge) {
        if (count + 1) * 2 > keys.count { grow() }
        let slot = slot(Self.key(left, right))
        if keys[slot] == Self.free { count += 1 }
        keys[slot] = Self.key(left, right)
        merges[slot] = merge
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        let mask = keys.count - 1
        var slot = Int(truncatingIfNeeded: hash.hash(key)) & mask
        while keys[slot] != key, keys[slot] != Self.free { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func grow() {
        let (oldKeys, oldMerges) = (keys, merges)
        keys = [UInt64](repeating: Self.free, count: oldKeys.count * 2)
        merges = [Merge](repeating: Merge(rank: 0, result: 0), count: oldKeys.count * 2)
        for (index, key) in oldKeys.enumerated() where key != Self.free {
            let slot = slot(key)
            keys[slot] = key
            merges[slot] = oldMerges[index]
        }
    }

    @inline(__always)
    func find(_ left: TokenID, _ right: TokenID) -> Merge? {
        let key = Self.key(left, right)
        let slot = slot(key)
        return keys[slot] == key ? merges[slot] : nil
    }

    func contains(where predicate: (_ left: TokenID, _ right: TokenID) -> Bool) -> Bool {
        keys.contains { key in
            key != Self.free && predicate(TokenID(key >> 32), TokenID(key & 0xFFFF_FFFF))
        }
    }
}
