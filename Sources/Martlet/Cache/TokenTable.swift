/// (request slot, position) → row of the KV pool: what kernels read to find a request's context (TokenAttention).
///
/// One buffer, allocated once; a request holds a slot while it runs. Its entries are meaningful below the number of
/// positions that the request has computed.
package struct TokenTable: ~Copyable {
    package let slotCount: Int
    /// Positions that a slot has room for.
    package let positionCount: Int
    private let entries: UnsafeMutablePointer<Int32>
    private var freeSlots: [Int]

    package init(slotCount: Int, positionCount: Int) {
        precondition(slotCount > 0 && positionCount > 0)
        self.slotCount = slotCount
        self.positionCount = positionCount
        // Left uninitialized: the system provides memory for the part that requests really use.
        entries = .allocate(capacity: slotCount * positionCount)
        freeSlots = Array((0..<slotCount).reversed())
    }

    deinit {
        entries.deallocate()
    }

    package var freeSlotCount: Int { freeSlots.count }

    /// A slot that nobody holds, or nil.
    package mutating func acquireSlot() -> Int? { freeSlots.popLast() }

    package mutating func releaseSlot(_ slot: Int) {
        assert(!freeSlots.contains(slot))
        freeSlots.append(slot)
    }

    /// Position → row of the request in `slot`, `[positionCount]`.
    package func rows(_ slot: Int) -> UnsafeMutablePointer<Int32> {
        precondition(slot >= 0 && slot < slotCount)
        return entries + slot * positionCount
    }
}
