extension Filter {
    static let sequences: [Filter] = [
        Filter("list") { (interpreter, value, _) throws(JinjaError) in
            try interpreter.list(try interpreter.elements(of: value))
        },
        Filter("items") { (interpreter, value, _) throws(JinjaError) in
            if value.isUndefined { return try interpreter.iterator([]) }
            guard case .dictionary(let dictionary) = value else {
                throw interpreter.fail("can only get item pairs from a mapping")
            }
            return try interpreter.iterator(DictionaryView(.items, dictionary).elements)
        },
        Filter("first") { (interpreter, value, _) throws(JinjaError) in
            let missing = Value.undefined(.init(hint: "no first item, sequence was empty"))
            if case .object(let object as ElementIterator) = value { return object.next() ?? missing }
            if case .string(let text) = value { return text.scalar(at: 0).map { .string(String($0)) } ?? missing }
            return try interpreter.elements(of: value).first ?? missing
        },
        Filter("last") { (interpreter, value, _) throws(JinjaError) in
            let missing = Value.undefined(.init(hint: "no last item, sequence was empty"))
            if case .object(let object as ElementIterator) = value {
                throw interpreter.fail("'\(object.typeName)' object is not reversible")
            }
            if case .string(let text) = value { return text.scalar(at: -1).map { .string(String($0)) } ?? missing }
            return try interpreter.elements(of: value).last ?? missing
        },
        Filter("reverse", keepsMarkup: true) { (interpreter, value, _) throws(JinjaError) in
            if case .string = value { return try interpreter.slice(value, Slice(start: nil, stop: nil, step: -1)) }
            let reversed = Array(try interpreter.elements(of: value).reversed())
            // What Python cannot walk backwards, it copies to a list first.
            if case .object(is ElementIterator) = value { return try interpreter.list(reversed) }
            return try interpreter.iterator(reversed, name: "list_reverseiterator")
        },
        Filter("join", ["d", "attribute"]) { (interpreter, value, arguments) throws(JinjaError) in
            let path = try interpreter.attributePath(arguments[1])
            let separator = try interpreter.text(arguments[0] ?? .emptyString)
            var pieces: [String] = []
            for element in try interpreter.elements(of: value) {
                pieces.append(try interpreter.text(try interpreter.attribute(path, of: element)))
            }
            return try interpreter.join(pieces, separator: separator)
        },
        Filter("sum", ["attribute", "start"]) { (interpreter, value, arguments) throws(JinjaError) in
            let path = try interpreter.attributePath(arguments[0])
            var sum = arguments[1] ?? .int(0)
            if sum.asString != nil { throw interpreter.fail("sum() can't sum strings") }
            for element in try interpreter.elements(of: value) {
                sum = try interpreter.calculate(.add, sum, try interpreter.attribute(path, of: element))
            }
            return sum
        },
        Filter("min", ["case_sensitive", "attribute"]) { (interpreter, value, arguments) throws(JinjaError) in
            try extremum(interpreter, value, arguments) { ($0, $1) }
        },
        Filter("max", ["case_sensitive", "attribute"]) { (interpreter, value, arguments) throws(JinjaError) in
            try extremum(interpreter, value, arguments) { ($1, $0) }
        },
        Filter("sort", ["reverse", "case_sensitive", "attribute"]) {
            (interpreter, value, arguments) throws(JinjaError) in
            let isCaseSensitive = arguments[1]?.isTrue ?? false
            var paths: [[Value]] = []
            if let names = arguments[2]?.asString {
                for name in names.split(by: ",", limit: nil) {
                    paths.append(try interpreter.attributePath(.string(name)))
                }
            } else {
                paths = [try interpreter.attributePath(arguments[2])]
            }
            let elements = try interpreter.elements(of: value)
            var keys: [Value] = []
            for element in elements {
                var key: [Value] = []
                for path in paths {
                    key.append(try interpreter.sortKey(element, path, isCaseSensitive: isCaseSensitive))
                }
                keys.append(try interpreter.list(key))
            }
            let order = try interpreter.sorted(keys, isReversed: arguments[0]?.isTrue ?? false)
            return try interpreter.list(order.map { elements[$0] })
        },
        Filter("dictsort", ["case_sensitive", "by", "reverse"]) { (interpreter, value, arguments) throws(JinjaError) in
            guard case .dictionary(let dictionary) = value else {
                try interpreter.refuseUndefined(value)
                throw interpreter.fail("dictsort needs a mapping, not \(value.typeName)")
            }
            let by =
                try arguments[1].map { value throws(JinjaError) in try interpreter.requireString(value, "by") } ?? "key"
            guard by == "key" || by == "value" else {
                throw interpreter.fail("you can only sort by either 'key' or 'value'")
            }
            var keys: [Value] = []
            for element in by == "key" ? dictionary.keys : dictionary.values {
                keys.append(try interpreter.sortKey(element, [], isCaseSensitive: arguments[0]?.isTrue ?? false))
            }
            let order = try interpreter.sorted(keys, isReversed: arguments[2]?.isTrue ?? false)
            return try interpreter.list(order.map { .tuple([dictionary.keys[$0], dictionary.values[$0]]) })
        },
        Filter("unique", ["case_sensitive", "attribute"]) { (interpreter, value, arguments) throws(JinjaError) in
            let path = try interpreter.attributePath(arguments[1])
            var seen: Set<HashableValue> = []
            var unique: [Value] = []
            for element in try interpreter.elements(of: value) {
                let key = try interpreter.sortKey(element, path, isCaseSensitive: arguments[0]?.isTrue ?? false)
                try interpreter.checkKey(key)
                if seen.insert(HashableValue(key)).inserted { unique.append(element) }
            }
            return try interpreter.iterator(unique)
        },
        Filter("groupby", ["attribute", "default", "case_sensitive"], required: 1) {
            (interpreter, value, arguments) throws(JinjaError) in
            try group(interpreter, value, arguments)
        },
        Filter("batch", ["linecount", "fill_with"], required: 1) { (interpreter, value, arguments) throws(JinjaError) in
            let size = try interpreter.requireInteger(arguments.value(0), "linecount")
            guard size > 0 else { throw interpreter.fail("linecount must be positive") }
            let elements = try interpreter.elements(of: value)
            var batches: [Value] = []
            for start in stride(from: 0, to: elements.count, by: size) {
                var batch = Array(elements[start..<start.addingSaturated(min(size, elements.count - start))])
                if let fill = arguments[1], case let missing = size - batch.count, missing > 0 {
                    if case .null = fill {
                    } else {
                        guard missing <= interpreter.limits.maxElements else {
                            throw interpreter.fail("a list has too many elements", .limitExceeded)
                        }
                        try interpreter.charge(missing)
                        batch += Array(repeating: fill, count: missing)
                    }
                }
                batches.append(try interpreter.list(batch))
            }
            return try interpreter.iterator(batches)
        },
        Filter("slice", ["slices", "fill_with"], required: 1) { (interpreter, value, arguments) throws(JinjaError) in
            let count = try interpreter.requireInteger(arguments.value(0), "slices")
            guard count != 0 else { throw interpreter.fail("integer division or modulo by zero") }
            let elements = try interpreter.elements(of: value)
            guard count > 0 else { return try interpreter.iterator([]) }
            try interpreter.charge(count)
            var slices: [Value] = []
            var start = 0
            let (size, longer) = elements.count.quotientAndRemainder(dividingBy: count)
            for index in 0..<count {
                let end = start + size + (index < longer ? 1 : 0)
                var slice = Array(elements[start..<end])
                if let fill = arguments[1], index >= longer {
                    if case .null = fill {} else { slice.append(fill) }
                }
                slices.append(try interpreter.list(slice))
                start = end
            }
            return try interpreter.iterator(slices)
        },
    ]

    /// The element whose key is least; `order` swaps the two for the greatest.
    private static func extremum(
        _ interpreter: Interpreter, _ value: Value, _ arguments: BoundArguments,
        order: (Value, Value) -> (Value, Value)
    ) throws(JinjaError) -> Value {
        let path = try interpreter.attributePath(arguments[1])
        var best: (element: Value, key: Value)?
        for element in try interpreter.elements(of: value) {
            let key = try interpreter.sortKey(element, path, isCaseSensitive: arguments[0]?.isTrue ?? false)
            if let current = best {
                let (left, right) = order(key, current.key)
                guard try interpreter.isLess(left, right) else { continue }
            }
            best = (element, key)
        }
        return best?.element ?? .undefined(.init(hint: "no aggregated item, sequence was empty"))
    }

    private static func group(
        _ interpreter: Interpreter, _ value: Value, _ arguments: BoundArguments
    ) throws(JinjaError) -> Value {
        let path = try interpreter.attributePath(arguments[0])
        let isCaseSensitive = arguments[2]?.isTrue ?? false
        let elements = try interpreter.elements(of: value)
        var keys: [Value] = []
        for element in elements {
            keys.append(
                try interpreter.sortKey(element, path, isCaseSensitive: isCaseSensitive, default: arguments[1]))
        }
        var groups: [(key: Value, elements: [Value])] = []
        for index in try interpreter.sorted(keys, isReversed: false) {
            if let last = groups.last, try interpreter.areEqual(last.key, keys[index]) {
                groups[groups.count - 1].elements.append(elements[index])
            } else {
                groups.append((keys[index], [elements[index]]))
            }
        }
        var result: [Value] = []
        for group in groups {
            // The key as it is written in the first element, not in lower case.
            let key = try interpreter.sortKey(group.elements[0], path, isCaseSensitive: true, default: arguments[1])
            var tuple = try interpreter.makeList([key, try interpreter.list(group.elements)])
            tuple.fields = ["grouper", "list"]
            result.append(.tuple(tuple))
        }
        return try interpreter.list(result)
    }
}

extension Interpreter {
    /// The keys of a dotted attribute such as `"function.name"` or `"0.id"`; empty without an attribute.
    func attributePath(_ attribute: Value?) throws(JinjaError) -> [Value] {
        switch attribute {
        case nil, .some(.null): return []
        case .string(let text), .markup(let text):
            return text.split(by: ".", limit: nil).map { part in
                part.allScalars(\.isDigit) ? Int(part).map(Value.int) ?? .string(part) : .string(part)
            }
        case .some(let key): return [key]
        }
    }

    func attribute(_ path: [Value], of value: Value, default fallback: Value? = nil) throws(JinjaError) -> Value {
        var value = value
        for key in path {
            value = try item(key, of: value)
            if let fallback, value.isUndefined { value = fallback }
        }
        return value
    }

    /// What sorting filters compare: the attribute, in lower case unless the case matters.
    func sortKey(
        _ element: Value, _ path: [Value], isCaseSensitive: Bool, default fallback: Value? = nil
    ) throws(JinjaError) -> Value {
        let key = try attribute(path, of: element, default: fallback)
        guard !isCaseSensitive, let text = key.asString else { return key }
        try charge(scalarsOf: text)
        return .string(text.pythonLowercased)
    }

    /// The order of the keys, equal ones in the order they came in, also when reversed (as in Python).
    func sorted(_ keys: [Value], isReversed: Bool) throws(JinjaError) -> [Int] {
        // A merge sort of our own, because the comparison throws a typed error and pays for itself.
        var order = Array(keys.indices)
        var merged = order
        var width = 1
        while width < order.count {
            for start in stride(from: 0, to: order.count, by: 2 * width) {
                let middle = min(start + width, order.count)
                let end = min(start + 2 * width, order.count)
                var left = start
                var right = middle
                for position in start..<end {
                    let takesRight: Bool
                    if left == middle {
                        takesRight = true
                    } else if right == end {
                        takesRight = false
                    } else {
                        let (first, second) = (keys[order[left]], keys[order[right]])
                        takesRight = isReversed ? try isLess(first, second) : try isLess(second, first)
                    }
                    merged[position] = takesRight ? order[right] : order[left]
                    if takesRight { right += 1 } else { left += 1 }
                }
            }
            swap(&order, &merged)
            width *= 2
        }
        return order
    }
}
