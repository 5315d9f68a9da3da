/// A value of the template language; the names in parentheses are Python's, whose semantics it has.
package enum Value: Sendable {
    /// The result of looking up what does not exist: prints as nothing, is false, and refuses everything else.
    case undefined(Undefined)
    /// Python's None. Not named so, because `.none` means nil wherever an optional value is expected.
    case null
    case bool(Bool)
    case int(Int)
    case float(Double)
    /// Text, a sequence of Unicode scalars as in Python, never of grapheme clusters.
    case string(String)
    /// Text that came out of `safe` or `escape` (Python's `Markup`): what is added to it gets escaped for HTML. No
    /// prompt needs that, but a few published templates use `safe` and were trained with what comes out.
    case markup(String)
    case list(ValueList)
    case tuple(ValueList)
    case dictionary(ValueDictionary)
    /// Things that only exist while a template is rendered: macros, namespaces, `loop`, iterators, …
    case object(RuntimeObject)

    package static func list(_ elements: [Value]) -> Value { .list(ValueList(elements)) }
    package static func tuple(_ elements: [Value]) -> Value { .tuple(ValueList(elements)) }

    /// A dictionary with text keys in the order given; of equal keys the last value wins.
    package static func dictionary(_ entries: [(String, Value)]) -> Value {
        var dictionary = ValueDictionary()
        for (key, value) in entries { dictionary.set(.string(key), value) }
        return .dictionary(dictionary)
    }

    /// Why a value is missing; kept apart from `Value` because it is only read for an error message.
    package final class Undefined: Sendable {
        /// Nil for a plain variable.
        let owner: String?
        let name: String
        /// Replaces the message made from owner and name.
        let hint: String?
        let isUnsafe: Bool

        init(owner: String? = nil, name: String = "", hint: String? = nil, isUnsafe: Bool = false) {
            self.owner = owner
            self.name = name
            self.hint = hint
            self.isUnsafe = isUnsafe
        }

        var message: String {
            if let hint { return hint }
            guard let owner else { return "'\(name)' is undefined" }
            return "'\(owner)' has no attribute '\(name)'"
        }
    }
}

extension Value {
    static let emptyString = Value.string("")

    /// The name that Python's `type(value).__name__` gives.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .null: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .string: "str"
        case .markup: "Markup"
        case .list: "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .object(let object): object.typeName
        }
    }

    /// Python's `bool(value)`.
    var isTrue: Bool {
        switch self {
        case .undefined, .null: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .string(let value), .markup(let value): !value.isEmpty
        case .list(let list), .tuple(let list): !list.elements.isEmpty
        case .dictionary(let dictionary): dictionary.count > 0
        case .object(let object): object.isTrue
        }
    }

    var isUndefined: Bool {
        if case .undefined = self { return true }
        return false
    }

    /// Levels of containers inside this value.
    var depth: Int {
        switch self {
        case .list(let list), .tuple(let list): list.depth
        case .dictionary(let dictionary): dictionary.depth
        case .object(let object): object.depth
        default: 0
        }
    }

    /// Steps that walking the whole value takes. `[x, x]` shares `x`, so a few assignments make a value that is small
    /// in memory and takes for ever to compare; what walks a value pays for its weight first.
    var weight: Int {
        switch self {
        case .string(let text), .markup(let text): 1 + text.utf8.count / Limits.bytesPerStep
        case .list(let list), .tuple(let list): list.weight
        case .dictionary(let dictionary): dictionary.weight
        case .object(let object): object.weight
        default: 1
        }
    }

    /// The number where Python would treat the value as an integer: booleans are integers there.
    var asInteger: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    package var asString: String? {
        switch self {
        case .string(let text), .markup(let text): text
        default: nil
        }
    }

    /// The value without the mark of escaped text.
    var plain: Value {
        if case .markup(let text) = self { return .string(text) }
        return self
    }
}

extension Int {
    func addingSaturated(_ other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}
