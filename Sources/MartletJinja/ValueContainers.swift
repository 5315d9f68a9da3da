/// The elements of a list or tuple. They never change: the sandbox forbids the methods that would.
package struct ValueList: Sendable {
    package let elements: [Value]
    /// Names of the elements, for the named tuples of `groupby`.
    var fields: [String] = []
    /// Levels of containers, this one included.
    let depth: Int
    /// See `Value.weight`.
    let weight: Int

    package init(_ elements: [Value]) {
        self.elements = elements
        var deepest = 0
        var weight = 1
        for element in elements {
            deepest = max(deepest, element.depth)
            weight = weight.addingSaturated(element.weight)
        }
        depth = deepest + 1
        self.weight = weight
    }
}

/// A dictionary that keeps the order of its keys.
package struct ValueDictionary: Sendable {
    package private(set) var keys: [Value] = []
    package private(set) var values: [Value] = []
    /// Where a key stands; only built for larger dictionaries, because comparing a few short keys is quicker than
    /// hashing.
    private var positions: [HashableValue: Int] = [:]
    private(set) var depth = 1
    /// See `Value.weight`; a replaced value keeps its share.
    private(set) var weight = 1

    private static let linearSearchCount = 8

    package init() {}

    package var count: Int { keys.count }

    /// Nil also for keys that cannot be hashed; see `Value.isHashable`.
    package subscript(key: Value) -> Value? {
        position(of: key).map { values[$0] }
    }

    package subscript(key: String) -> Value? { self[.string(key)] }

    private func position(of key: Value) -> Int? {
        if keys.count <= Self.linearSearchCount {
            return keys.firstIndex { $0.isSame(as: key) }
        }
        return positions[HashableValue(key)]
    }

    /// Other keys and values in the same order.
    package func map(_ transform: (Value) -> Value) -> ValueDictionary {
        var result = ValueDictionary()
        for (key, value) in zip(keys, values) { result.set(transform(key), transform(value)) }
        return result
    }

    package mutating func set(_ key: Value, _ value: Value) {
        depth = max(depth, value.depth + 1, key.depth + 1)
        weight = weight.addingSaturated(value.weight).addingSaturated(key.weight)
        if let position = position(of: key) {
            values[position] = value
            return
        }
        keys.append(key)
        values.append(value)
        if keys.count == Self.linearSearchCount + 1 {
            for (position, key) in keys.enumerated() { positions[HashableValue(key)] = position }
        } else if keys.count > Self.linearSearchCount {
            positions[HashableValue(key)] = keys.count - 1
        }
    }
}
