/// Turns ranges of Unicode scalars into nodes that take their UTF-8, one byte after the other and never two ways at once.
struct UTF8Ranges {
    /// Sorted, without surrogates.
    let ranges: [ClosedRange<UInt32>]

    /// The largest scalar of each length.
    private static let bounds: [ClosedRange<UInt32>] = [0...0x7F, 0x80...0x7FF, 0x800...0xFFFF, 0x10000...0x10FFFF]

    /// - Returns: where a scalar of the ranges may begin.
    mutating func nodes(
        _ builder: inout AutomatonBuilder, _ next: Automaton.NodeID
    ) throws(GrammarError) -> [Automaton.NodeID] {
        var targets: [Automaton.NodeID] = []
        for (trailing, bound) in Self.bounds.enumerated() {
            let clipped = ranges.compactMap { $0.overlaps(bound) ? $0.clamped(to: bound) : nil }
            guard !clipped.isEmpty else { continue }
            let lead: UInt8 = [0, 0xC0, 0xE0, 0xF0][trailing]
            targets += try level(clipped, of: bound, trailing: trailing, lead: lead, &builder, next)
        }
        return targets
    }

    /// - Parameters:
    ///   - clipped: ranges inside of `block`, whose scalars share the bytes so far.
    ///   - trailing: how many bytes follow the one that is chosen here.
    ///   - lead: the marking bits of that byte.
    private func level(
        _ clipped: [ClosedRange<UInt32>], of block: ClosedRange<UInt32>, trailing: Int, lead: UInt8,
        _ builder: inout AutomatonBuilder, _ next: Automaton.NodeID
    ) throws(GrammarError) -> [Automaton.NodeID] {
        let shift = UInt32(6 * trailing)
        // The bits of this byte: what is left of a first byte, six of a later one.
        let mask: UInt32 = lead == 0x80 ? 0x3F : lead == 0 ? 0x7F : lead == 0xC0 ? 0x1F : lead == 0xE0 ? 0x0F : 0x07
        var bytesByTarget: [(target: Automaton.NodeID, set: ByteSet)] = []
        func add(_ value: UInt32, _ target: Automaton.NodeID) {
            let byte = lead | UInt8(truncatingIfNeeded: value >> shift & mask)
            if let index = bytesByTarget.firstIndex(where: { $0.target == target }) {
                bytesByTarget[index].set.insert(byte)
            } else {
                bytesByTarget.append((target, ByteSet(byte...byte)))
            }
        }
        if trailing == 0 {
            for range in clipped { for value in range { add(value, next) } }
        } else {
            var first = (clipped[0].lowerBound >> shift) << shift
            let last = clipped[clipped.count - 1].upperBound
            var index = 0
            while first <= last {
                let part = first...(first | ((1 << shift) - 1))
                var inside: [ClosedRange<UInt32>] = []
                while index < clipped.count, clipped[index].lowerBound <= part.upperBound {
                    if clipped[index].overlaps(part) { inside.append(clipped[index].clamped(to: part)) }
                    guard clipped[index].upperBound <= part.upperBound else { break }
                    index += 1
                }
                if inside.first == part {
                    // All that begins like this.
                    var below = next
                    for _ in 0..<trailing { below = try builder.bytes(ByteSet(0x80...0xBF), below) }
                    add(first, below)
                } else if !inside.isEmpty {
                    let below = try level(inside, of: part, trailing: trailing - 1, lead: 0x80, &builder, next)
                    add(first, try builder.choice(below))
                }
                first = part.upperBound + 1
            }
        }
        var targets: [Automaton.NodeID] = []
        for entry in bytesByTarget { targets.append(try builder.bytes(entry.set, entry.target)) }
        return targets
    }
}
