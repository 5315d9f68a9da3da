extension Interpreter {
    /// `value.name`: an attribute or method first, then a key.
    func attribute(_ name: String, of value: Value) throws(JinjaError) -> Value {
        try refuseUndefined(value)
        if let found = ownAttribute(name, of: value) { return found }
        if case .dictionary(let dictionary) = value, let found = dictionary[name] { return found }
        return missing(name, of: value)
    }

    /// `value[key]`: an element or key first, then an attribute or method.
    func item(_ key: Value, of value: Value) throws(JinjaError) -> Value {
        try refuseUndefined(value)
        if case .markup(let text) = value, key.asInteger != nil {
            return try markedUp(try item(key, of: .string(text)))
        }
        switch value {
        case .dictionary(let dictionary):
            try charge(key.weight)
            if key.isHashable, let found = dictionary[key] { return found }
        case .list(let list), .tuple(let list):
            if let index = key.asInteger, let position = Slice.position(index, count: list.elements.count) {
                return list.elements[position]
            }
        case .string(let text):
            if let index = key.asInteger {
                try charge(bytes: text.utf8.count)
                if let scalar = text.scalar(at: index) { return .string(String(scalar)) }
            }
        case .object(let range as RangeObject):
            if let index = key.asInteger, let position = Slice.position(index, count: range.count) {
                return range.element(position)
            }
        default: break
        }
        if let name = key.asString {
            return ownAttribute(name, of: value) ?? missing(name, of: value)
        }
        return .undefined(.init(hint: "\(ownerName(value)) has no element \(try representation(key))"))
    }

    private func ownAttribute(_ name: String, of value: Value) -> Value? {
        if Method.named(name, of: value) != nil { return .object(BoundMethod(value, name)) }
        switch value {
        case .list(let list), .tuple(let list):
            if let index = list.fields.firstIndex(of: name) { return list.elements[index] }
        case .object(let object as LoopContext): return object.attribute(name)
        case .object(let object as Namespace): return object.attributes[name]
        case .object(let object as Cycler):
            if name == "current" { return object.current }
        case .object(let object as Macro):
            switch name {
            case "name": return object.definition.name.map(Value.string) ?? .some(.null)
            case "arguments": return .tuple(object.definition.parameters.map { .string($0.name) })
            default: break
            }
        default: break
        }
        guard Method.isUnsafe(name, of: value) else { return nil }
        return .undefined(
            .init(hint: "access to attribute '\(name)' of '\(value.typeName)' object is unsafe", isUnsafe: true))
    }

    private func missing(_ name: String, of value: Value) -> Value {
        .undefined(.init(owner: ownerName(value), name: name))
    }

    private func ownerName(_ value: Value) -> String {
        if case .null = value { return "None" }
        return "\(value.typeName) object"
    }

    // MARK: Sequences

    /// What a loop over the value walks. Iterators are used up by it.
    func elements(of value: Value) throws(JinjaError) -> [Value] {
        switch value {
        case .undefined: return []
        case .list(let list), .tuple(let list): return list.elements
        case .dictionary(let dictionary): return dictionary.keys
        case .string(let text), .markup(let text):
            try charge(text.utf8.count)
            return text.unicodeScalars.map { .string(String($0)) }
        case .object(let object as RangeObject):
            try charge(object.count)
            return object.elements
        case .object(let object as DictionaryView):
            try charge(object.dictionary.count)
            return object.elements
        case .object(let object as ElementIterator): return object.rest()
        default: throw fail("'\(value.typeName)' object is not iterable")
        }
    }

    func length(of value: Value) throws(JinjaError) -> Int {
        switch value {
        case .undefined: return 0
        case .list(let list), .tuple(let list): return list.elements.count
        case .dictionary(let dictionary): return dictionary.count
        case .string(let text), .markup(let text):
            try charge(bytes: text.utf8.count)
            return text.unicodeScalars.count
        case .object(let object as RangeObject): return object.count
        case .object(let object as DictionaryView): return object.dictionary.count
        case .object(let object as LoopContext): return object.items.elements.count
        default: throw fail("object of type '\(value.typeName)' has no len()")
        }
    }

    func slice(_ value: Value, _ slice: Slice) throws(JinjaError) -> Value {
        try refuseUndefined(value)
        guard slice.step != 0 else { throw fail("slice step cannot be zero") }
        switch value {
        case .list(let list): return try self.list(slice.applied(to: list.elements))
        case .tuple(let list): return try tuple(slice.applied(to: list.elements))
        case .markup(let text): return try markedUp(try self.slice(.string(text), slice))
        case .string(let text):
            try charge(bytes: text.utf8.count)
            guard slice.step == 1 else {
                try charge(text.utf8.count)
                var view = String.UnicodeScalarView()
                view.append(contentsOf: slice.applied(to: Array(text.unicodeScalars)))
                return try string(String(view))
            }
            return try string(text.scalarSlice(slice))
        case .object(let range as RangeObject):
            let (start, count) = slice.resolved(count: range.count)
            // Within the old range, except for the end of an empty one; saturating it there changes nothing.
            let (step, overflows) = range.step.multipliedReportingOverflow(by: slice.step)
            guard !overflows else { throw fail("integer overflow: integers have 64 bits") }
            let first = range.start &+ start &* range.step
            return .object(RangeObject(start: first, stop: first &+ count &* step, step: step, count: count))
        default: throw fail("'\(value.typeName)' object is not subscriptable")
        }
    }
}

/// Python's `start:stop:step`.
struct Slice {
    var start: Int?
    var stop: Int?
    private var stepOrNil: Int?

    init(start: Int?, stop: Int?, step: Int? = nil) {
        self.start = start
        self.stop = stop
        stepOrNil = step
    }

    var step: Int { stepOrNil ?? 1 }

    /// The position that an index from either end means.
    static func position(_ index: Int, count: Int) -> Int? {
        let position = index < 0 ? index + count : index
        return position >= 0 && position < count ? position : nil
    }

    /// The first position and how many there are, in a sequence of `count` elements. The step is not zero.
    func resolved(count: Int) -> (start: Int, count: Int) {
        let isForward = step > 0
        let lowest = isForward ? 0 : -1
        let highest = isForward ? count : count - 1
        func clamped(_ bound: Int?, default fallback: Int) -> Int {
            guard let bound else { return fallback }
            return min(max(bound < 0 ? bound + count : bound, lowest), highest)
        }
        let first = clamped(start, default: isForward ? lowest : highest)
        let end = clamped(stop, default: isForward ? highest : lowest)
        let span = isForward ? end - first : first - end
        guard span > 0 else { return (first, 0) }
        return (first, Int((UInt(span) - 1) / step.magnitude) + 1)
    }

    func applied<Element>(to elements: [Element]) -> [Element] {
        let (start, count) = resolved(count: elements.count)
        if step == 1 { return Array(elements[start..<start + count]) }
        return (0..<count).map { elements[start + $0 * step] }
    }
}
