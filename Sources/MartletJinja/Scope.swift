/// Variables of a block: a loop body, a macro call, a `with`. The top level is an array in the interpreter instead.
final class Scope {
    let parent: Scope?
    private var symbols: [Symbol] = []
    private var values: [Value] = []
    /// Where a variable stands; only built for many, because a block has few, and searching an array of those is
    /// quicker than hashing.
    private var positions: [Symbol: Int] = [:]

    private static let linearSearchCount = 16

    init(parent: Scope?) { self.parent = parent }

    subscript(symbol: Symbol) -> Value? { position(of: symbol).map { values[$0] } }

    func set(_ symbol: Symbol, _ value: Value) {
        if let position = position(of: symbol) {
            values[position] = value
            return
        }
        symbols.append(symbol)
        values.append(value)
        if symbols.count == Self.linearSearchCount + 1 {
            for (position, symbol) in symbols.enumerated() { positions[symbol] = position }
        } else if symbols.count > Self.linearSearchCount {
            positions[symbol] = symbols.count - 1
        }
    }

    private func position(of symbol: Symbol) -> Int? {
        symbols.count <= Self.linearSearchCount ? symbols.firstIndex(of: symbol) : positions[symbol]
    }

    func removeAll() {
        symbols.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
        if !positions.isEmpty { positions.removeAll(keepingCapacity: true) }
    }
}
