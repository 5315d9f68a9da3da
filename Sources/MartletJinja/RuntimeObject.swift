/// A thing that exists only while one template is rendered.
///
/// Unchecked: some are mutable, but a render creates them, runs on one thread, and returns nothing but text, so no
/// reference is ever seen by two threads.
package class RuntimeObject: @unchecked Sendable {
    var typeName: String { "object" }
    var isTrue: Bool { true }
    /// Levels of containers inside; what can change later counts as nothing, and its owner bounds it otherwise.
    var depth: Int { 0 }
    /// See `Value.weight`.
    var weight: Int { 1 }
    /// Writes Python's `repr`.
    func represent(to writer: inout TextWriter) throws(JinjaError) { try writer.write("<\(typeName)>") }
    func isEqual(to other: RuntimeObject) -> Bool { false }
    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
    /// Lets go of what may hold this object again. The interpreter calls it when the render ends, for the objects that it
    /// was told of.
    func release() {}
}

/// `namespace(…)`: the one mutable value of the language.
final class Namespace: RuntimeObject, @unchecked Sendable {
    var attributes: ValueDictionary

    init(_ attributes: ValueDictionary) { self.attributes = attributes }

    override var typeName: String { "Namespace" }
    override func release() { attributes = ValueDictionary() }

    override func represent(to writer: inout TextWriter) throws(JinjaError) {
        try writer.write("<Namespace ")
        try Value.dictionary(attributes).represent(to: &writer)
        try writer.write(">")
    }
}

/// What a lazy filter (`map`, `select`, `items`, …) gives: it can be walked once.
///
/// Python computes the elements on demand; here they exist already, and only the consumption is imitated.
final class ElementIterator: RuntimeObject, @unchecked Sendable {
    private let elements: ValueList
    private var position = 0
    private let name: String

    init(_ elements: ValueList, name: String = "generator") {
        self.elements = elements
        self.name = name
    }

    override var typeName: String { name }
    override var depth: Int { elements.depth }
    override var weight: Int { elements.weight }

    func next() -> Value? {
        guard position < elements.elements.count else { return nil }
        defer { position += 1 }
        return elements.elements[position]
    }

    func rest() -> [Value] {
        defer { position = elements.elements.count }
        return position == 0 ? elements.elements : Array(elements.elements[position...])
    }
}

/// `range(start, stop, step)`; its length was checked when it was made.
final class RangeObject: RuntimeObject, @unchecked Sendable {
    let start: Int
    let stop: Int
    let step: Int
    let count: Int

    init(start: Int, stop: Int, step: Int, count: Int) {
        self.start = start
        self.stop = stop
        self.step = step
        self.count = count
    }

    override var typeName: String { "range" }
    override var isTrue: Bool { count > 0 }
    override func represent(to writer: inout TextWriter) throws(JinjaError) {
        try writer.write(step == 1 ? "range(\(start), \(stop))" : "range(\(start), \(stop), \(step))")
    }

    override func isEqual(to other: RuntimeObject) -> Bool {
        guard let other = other as? RangeObject, count == other.count else { return false }
        return count == 0 || start == other.start && (count == 1 || step == other.step)
    }

    override func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        if count > 0 { hasher.combine(start) }
        if count > 1 { hasher.combine(step) }
    }

    /// Valid for 0 ..< count. The element fits an Int, but its distance from the start may not: hence the wrapping
    /// operators.
    func element(_ index: Int) -> Value { .int(start &+ index &* step) }
    var elements: [Value] { (0..<count).map(element) }
}

/// `dict.keys()`, `dict.values()` and `dict.items()`.
final class DictionaryView: RuntimeObject, @unchecked Sendable {
    enum Kind: String, Sendable { case keys, values, items }

    let kind: Kind
    let dictionary: ValueDictionary

    init(_ kind: Kind, _ dictionary: ValueDictionary) {
        self.kind = kind
        self.dictionary = dictionary
    }

    override var typeName: String { "dict_\(kind.rawValue)" }
    override var isTrue: Bool { dictionary.count > 0 }
    override var depth: Int { dictionary.depth + 2 }
    override var weight: Int { dictionary.weight }
    override func represent(to writer: inout TextWriter) throws(JinjaError) {
        try writer.write("\(typeName)(")
        try Value.list(elements).represent(to: &writer)
        try writer.write(")")
    }

    var elements: [Value] {
        switch kind {
        case .keys: dictionary.keys
        case .values: dictionary.values
        case .items: zip(dictionary.keys, dictionary.values).map { .tuple([$0, $1]) }
        }
    }
}

/// An integer of a literal, a text or JSON input that does not fit 64 bits: it can be printed and negated, and nothing
/// else.
final class LargeInteger: RuntimeObject, @unchecked Sendable {
    /// Without leading zeros; a minus sign may be in front.
    let digits: String

    /// Longer integers are refused as in Python, whose conversion takes quadratic time.
    static let maxDigits = 4300

    init(digits: String) { self.digits = digits }

    var negated: Value {
        if digits.hasPrefix("-") { return .object(LargeInteger(digits: String(digits.dropFirst()))) }
        let negated = "-" + digits
        return Int(negated).map(Value.int) ?? .object(LargeInteger(digits: negated))
    }

    override var typeName: String { "int" }
    override var weight: Int { 1 + digits.utf8.count }
    override func represent(to writer: inout TextWriter) throws(JinjaError) { try writer.write(digits) }
    override func isEqual(to other: RuntimeObject) -> Bool { (other as? LargeInteger)?.digits == digits }
    override func hash(into hasher: inout Hasher) { hasher.combine(digits) }
}
