/// A value as a dictionary key, with Python's notion of equality: `1 == 1.0 == True`.
struct HashableValue: Hashable {
    let value: Value

    init(_ value: Value) { self.value = value }

    static func == (left: HashableValue, right: HashableValue) -> Bool { left.value.isSame(as: right.value) }

    func hash(into hasher: inout Hasher) { value.hash(into: &hasher) }
}

extension String {
    /// Equality by scalars. Swift's `==` also holds for canonically equivalent strings ("é" and "e" + accent), which
    /// are different texts to Python and to a tokenizer.
    func scalarsEqual(_ other: String) -> Bool {
        // Swift's equality is the coarser one and has a fast path, so it decides nearly every comparison alone.
        guard self == other else { return false }
        return utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
    }

    /// Order by scalars, which UTF-8 preserves byte by byte.
    func scalarsPrecede(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}

extension Value {
    /// Whether the value can be a key (Python's `hash` succeeds).
    var isHashable: Bool {
        switch self {
        case .list, .dictionary: false
        case .tuple(let list): list.elements.allSatisfy(\.isHashable)
        default: true
        }
    }

    /// Python's `==`, which never fails. Recursion is bounded by `Limits.maxValueDepth`.
    func equals(_ other: Value) -> Bool {
        switch (self, other) {
        case (.string(let left), .string(let right)): return left.scalarsEqual(right)
        case (.undefined, .undefined), (.null, .null): return true
        case (.float(let left), .float(let right)): return left == right
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            return left.elements.count == right.elements.count
                && zip(left.elements, right.elements).allSatisfy { $0.isSame(as: $1) }
        case (.dictionary(let left), .dictionary(let right)):
            guard left.count == right.count else { return false }
            for (key, value) in zip(left.keys, left.values) {
                guard let found = right[key], found.isSame(as: value) else { return false }
            }
            return true
        case (.object(let left), .object(let right)): return left === right || left.isEqual(to: right)
        case (.markup, _), (_, .markup): return plain.equals(other.plain)
        default:
            if let left = asInteger {
                if let right = other.asInteger { return left == right }
                if case .float(let right) = other { return Double(exactly: left).map { $0 == right } ?? false }
            } else if case .float(let left) = self, let right = other.asInteger {
                return Double(exactly: right).map { $0 == left } ?? false
            }
            return false
        }
    }

    /// Python's `is` or `==`, by which containers compare their elements and find their keys. Values have no identity
    /// here, so that every NaN counts as the same one.
    func isSame(as other: Value) -> Bool {
        if case .float(let left) = self, case .float(let right) = other, left.isNaN, right.isNaN { return true }
        return equals(other)
    }

    func hash(into hasher: inout Hasher) {
        switch self {
        case .undefined, .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value ? 1 : 0)
        case .int(let value): hasher.combine(value)
        case .float(let value):
            if let integer = Int(exactly: value) {
                hasher.combine(integer)
            } else {
                hasher.combine(value.isNaN ? .nan : value)
            }
        case .string(let text), .markup(let text):
            // `String.hash` hashes a normalized form; the bytes are both right and quicker.
            let hashed: Void? = text.utf8.withContiguousStorageIfAvailable {
                hasher.combine(bytes: UnsafeRawBufferPointer($0))
            }
            if hashed == nil { for byte in text.utf8 { hasher.combine(byte) } }
        case .list(let list), .tuple(let list):
            for element in list.elements { element.hash(into: &hasher) }
        case .dictionary(let dictionary): hasher.combine(dictionary.count)
        case .object(let object): object.hash(into: &hasher)
        }
    }

    /// Python's `<`; nil where it raises TypeError.
    func isLess(than other: Value) -> Bool? {
        switch (self, other) {
        case (.string(let left), .string(let right)): return left.scalarsPrecede(right)
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (left, right) in zip(left.elements, right.elements) where !left.isSame(as: right) {
                return left.isLess(than: right)
            }
            return left.elements.count < right.elements.count
        case (.markup, _), (_, .markup): return plain.isLess(than: other.plain)
        default:
            if let left = asInteger, let right = other.asInteger { return left < right }
            guard let left = asDouble, let right = other.asDouble else { return nil }
            if left == right {
                // The float nearest to an integer may be that of the other side although the numbers differ.
                if let integer = asInteger { return Int(exactly: right).map { integer < $0 } ?? true }
                if let integer = other.asInteger { return Int(exactly: left).map { $0 < integer } ?? false }
            }
            return left < right
        }
    }

    /// The value as a floating-point number where it is one of Python's number types.
    var asDouble: Double? {
        if case .float(let value) = self { return value }
        return asInteger.map(Double.init)
    }
}
