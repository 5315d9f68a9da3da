/// Byte strings numbered from 0 in one flat buffer, and their numbers by content.
///
/// Vocabularies are keyed by bytes, never by `String`: `String` equality is canonical equivalence, and vocabularies hold
/// tokens that differ only in normalization.
struct ByteStringTable: Sendable {
    private var storage: [UInt8] = []
    /// Where string i ends; it starts where string i - 1 ends.
    private var ends: [Int] = []
    /// Open addressing; -1 is free. Empty strings are not found.
    private var slots: [Int32] = []
    private let key = ByteHash.Key()

    var count: Int { ends.count }

    init() {}

    init(minimumCapacity: Int, bytes: Int = 0) {
        ends.reserveCapacity(minimumCapacity)
        storage.reserveCapacity(bytes)
    }

    func range(of index: Int) -> Range<Int> {
        (index == 0 ? 0 : ends[index - 1])..<ends[index]
    }

    subscript(index: Int) -> ArraySlice<UInt8> {
        storage[range(of: index)]
    }

    mutating func append(_ bytes: some Collection<UInt8>) {
        storage.append(contentsOf: bytes)
        ends.append(storage.count)
    }

    func withBytes<R, E: Error>(of index: Int, _ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let range = range(of: index)
        return try storage.withUnsafeBufferPointer { buffer throws(E) in
            try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[range]))
        }
    }

    // MARK: Lookup

    /// Makes the strings for which `includes` holds findable. Of equal strings the last one is found.
    mutating func buildIndex(where includes: (Int) -> Bool = { _ in true }) {
        var capacity = 16
        while capacity < count * 2 { capacity *= 2 }
        var slots = [Int32](repeating: -1, count: capacity)
        storage.withUnsafeBytes { storage in
            for index in 0..<ends.count where includes(index) {
                let range = range(of: index)
                if range.isEmpty { continue }
                let bytes = UnsafeRawBufferPointer(rebasing: storage[range])
                var slot = Int(truncatingIfNeeded: key.hash(bytes)) & (capacity - 1)
                while slots[slot] >= 0, !equal(storage, Int(slots[slot]), bytes) { slot = (slot + 1) & (capacity - 1) }
                slots[slot] = Int32(index)
            }
        }
        self.slots = slots
    }

    @inline(__always)
    private func equal(_ storage: UnsafeRawBufferPointer, _ index: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let range = range(of: index)
        guard range.count == bytes.count else { return false }
        for offset in 0..<bytes.count where storage[range.lowerBound + offset] != bytes[offset] { return false }
        return true
    }

    func find(_ bytes: UnsafeRawBufferPointer) -> Int? {
        if bytes.isEmpty || slots.isEmpty { return nil }
        return storage.withUnsafeBytes { storage in
            let mask = slots.count - 1
            var slot = Int(truncatingIfNeeded: key.hash(bytes)) & mask
            while slots[slot] >= 0 {
                if equal(storage, Int(slots[slot]), bytes) { return Int(slots[slot]) }
                slot = (slot + 1) & mask
            }
            return nil
        }
    }

    func find(_ bytes: [UInt8]) -> Int? {
        bytes.withUnsafeBytes { find($0) }
    }

    func find(_ text: String) -> Int? {
        find(Array(text.utf8))
    }
}
