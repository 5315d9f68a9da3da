/// A trie over bytes that finds, from a position, every stored string that is a prefix of the text.
struct ByteTrie: Sendable {
    /// Edges by (node, byte) in an open-addressed table; node 0 is the root. -1 is free.
    private var keys: [Int64]
    private var children: [Int32]
    private var edgeCount = 0
    /// By node, the value of the string that ends there, or -1.
    private var values: [Int32] = [-1]
    private var isFirstByte = [Bool](repeating: false, count: 256)
    private let hash = ByteHash.Key()

    private(set) var isEmpty = true

    init() {
        keys = [Int64](repeating: -1, count: 64)
        children = [Int32](repeating: 0, count: 64)
    }

    /// Stores a string; of equal strings the last value counts. Empty strings are ignored.
    mutating func insert(_ bytes: some Collection<UInt8>, value: Int32) {
        guard let first = bytes.first else { return }
        isEmpty = false
        isFirstByte[Int(first)] = true
        var node: Int32 = 0
        for byte in bytes {
            let slot = slot(node, byte)
            if keys[slot] >= 0 {
                node = children[slot]
            } else {
                let child = Int32(values.count)
                values.append(-1)
                keys[slot] = Self.key(node, byte)
                children[slot] = child
                edgeCount += 1
                node = child
                if edgeCount * 2 > keys.count { grow() }
            }
        }
        values[Int(node)] = value
    }

    @inline(__always)
    private static func key(_ node: Int32, _ byte: UInt8) -> Int64 {
        Int64(node) << 8 | Int64(byte)
    }

    /// Where the edge is, or the free slot where it would be.
    @inline(__always)
    private func slot(_ node: Int32, _ byte: UInt8) -> Int {
        let key = Self.key(node, byte)
        let mask = keys.count - 1
        var slot = Int(truncatingIfNeeded: hash.hash(UInt64(bitPattern: key))) & mask
        while keys[slot] >= 0, keys[slot] != key { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func grow() {
        let (oldKeys, oldChildren) = (keys, children)
        keys = [Int64](repeating: -1, count: oldKeys.count * 2)
        children = [Int32](repeating: 0, count: oldKeys.count * 2)
        for (index, key) in oldKeys.enumerated() where key >= 0 {
            let slot = slot(Int32(key >> 8), UInt8(truncatingIfNeeded: key))
            keys[slot] = key
            children[slot] = oldChildren[index]
        }
    }

    @inline(__always)
    func canStart(with byte: UInt8) -> Bool { isFirstByte[Int(byte)] }

    /// Calls `body` with the length and value of each stored string that the text has at `position`, shortest first.
    @inline(__always)
    func forEachPrefix(
        of text: UnsafeBufferPointer<UInt8>, at position: Int, _ body: (_ length: Int, _ value: Int32) -> Void
    ) {
        var node: Int32 = 0
        var index = position
        while index < text.count {
            let slot = slot(node, text[index])
            if keys[slot] < 0 { return }
            node = children[slot]
            index += 1
            if values[Int(node)] >= 0 { body(index - position, values[Int(node)]) }
        }
    }

    /// Whether a stored string begins with the text from `start` to `end`.
    func hasString(beginningWith text: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int) -> Bool {
        var node: Int32 = 0
        for index in start..<end {
            let slot = slot(node, text[index])
            if keys[slot] < 0 { return false }
            node = children[slot]
        }
        return true
    }
}
