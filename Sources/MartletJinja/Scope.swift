/// Variables of a block: a loop body, a macro call, a `with`. The top level is an array in the interpreter instead.
///
/// A block has few variables, so a search through an array beats a hash table.
final class Scope {
    let parent: Scope?
    private var symbols: [Symbol] = []
    private var values: [Value] = []

    init(parent: Scope?) { self.parent = parent }

    subscript(symbol: Symbol) -> Value? {
        for index in symbols.indices where symbols[index] == symbol { return values[index] }
        return nil
    }

    func set(_ symbol: Symbol, _ value: Value) {
        for index in symbols.indices where symbols[index] == symbol {
            values[index] = value
            return
        }
        symbols.append(symbol)
        values.append(value)
    }

    func removeAll() {
        symbols.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
    }
}
