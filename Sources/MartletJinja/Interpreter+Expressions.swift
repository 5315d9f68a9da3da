extension Interpreter {
    func evaluate(_ expression: Expression) throws(JinjaError) -> Value {
        switch expression {
        case .constant(let value):
            try charge()
            return value
        case .variable(let symbol):
            try charge()
            return lookUp(symbol)
        default:
            try enter()
            defer { leave() }
            return try evaluateNested(expression)
        }
    }

    private func evaluateNested(_ expression: Expression) throws(JinjaError) -> Value {
        switch expression {
        case .constant(let value): return value
        case .variable(let symbol): return lookUp(symbol)
        case .list(let elements): return try list(try evaluate(elements))
        case .tuple(let elements): return try tuple(try evaluate(elements))
        case .dictionary(let entries):
            var pairs: [(Value, Value)] = []
            for (key, value) in entries { pairs.append((try evaluate(key), try evaluate(value))) }
            return try dictionary(pairs)
        case .postfix(let base, let links):
            var value = try evaluate(base)
            for link in links { value = try apply(link, to: value) }
            return value
        case .not(let operand): return .bool(!(try evaluate(operand).isTrue))
        case .negative(let operand): return try negate(try evaluate(operand))
        case .positive(let operand):
            let value = try evaluate(operand)
            try refuseUndefined(value)
            if let integer = value.asInteger { return .int(integer) }
            switch value {
            case .float, .object(is LargeInteger): return value
            default: throw fail("bad operand type for unary +: '\(value.typeName)'")
            }
        case .arithmetic(let first, let operands):
            var value = try evaluate(first)
            for (operation, operand) in operands { value = try calculate(operation, value, try evaluate(operand)) }
            return value
        case .concatenation(let operands):
            var result = ""
            for operand in operands {
                result += try text(try evaluate(operand))
                try checkStringBytes(result.utf8.count)
            }
            return try string(result)
        case .comparison(let first, let operands): return try evaluateComparison(first, operands)
        case .and(let operands): return try evaluate(operands, stoppingAt: false)
        case .or(let operands): return try evaluate(operands, stoppingAt: true)
        case .conditional(let value, let conditions, let otherwise):
            for (index, condition) in conditions.enumerated().reversed() where !(try evaluate(condition).isTrue) {
                if index == conditions.count - 1, let otherwise { return try evaluate(otherwise) }
                return .undefined(
                    .init(hint: "the inline if-expression evaluated to false and no else section was defined"))
            }
            return try evaluate(value)
        }
    }

    private func evaluate(_ expressions: [Expression]) throws(JinjaError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(expressions.count)
        for expression in expressions { values.append(try evaluate(expression)) }
        return values
    }

    /// `and` and `or` give the operand that decides.
    private func evaluate(_ operands: [Expression], stoppingAt decision: Bool) throws(JinjaError) -> Value {
        var value = Value.null
        for operand in operands {
            value = try evaluate(operand)
            if value.isTrue == decision { break }
        }
        return value
    }

    /// `a < b < c` is `a < b and b < c` with `b` evaluated once.
    private func evaluateComparison(
        _ first: Expression, _ operands: [(ComparisonOperator, Expression)]
    ) throws(JinjaError) -> Value {
        var left = try evaluate(first)
        for (operation, operand) in operands {
            let right = try evaluate(operand)
            guard try compare(operation, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    private func apply(_ link: Link, to value: Value) throws(JinjaError) -> Value {
        switch link {
        case .attribute(let name): return try attribute(name, of: value)
        case .item(let expression): return try item(try evaluate(expression), of: value)
        case .slice(let start, let stop, let step):
            var bounds: [Int?] = []
            for bound in [start, stop, step] {
                guard let bound else {
                    bounds.append(nil)
                    continue
                }
                let position = try evaluate(bound)
                if case .null = position {
                    bounds.append(nil)
                } else {
                    bounds.append(try requireInteger(position, "slice indices"))
                }
            }
            return try slice(value, Slice(start: bounds[0], stop: bounds[1], step: bounds[2]))
        case .call(let arguments): return try call(value, try evaluate(arguments))
        case .methodCall(let name, let argumentExpressions):
            if let method = Method.named(name, of: value) {
                return try method.call(self, value, try evaluate(argumentExpressions))
            }
            let function = try attribute(name, of: value)
            return try call(function, try evaluate(argumentExpressions))
        case .filter(let filter): return try apply(filter, to: value)
        case .test(let test):
            line = test.line
            guard let function = test.test else { throw fail("no test named '\(test.name)'") }
            let result = try function.call(self, value, try evaluate(test.arguments))
            return .bool(result != test.isNegated)
        }
    }

    func apply(_ expression: FilterExpression, to value: Value) throws(JinjaError) -> Value {
        line = expression.line
        guard let filter = expression.filter else { throw fail("no filter named '\(expression.name)'") }
        try charge()
        return try filter.call(self, value, try evaluate(expression.arguments))
    }

    func evaluate(_ expressions: ArgumentExpressions) throws(JinjaError) -> Arguments {
        var arguments = Arguments()
        for expression in expressions.positional { arguments.positional.append(try evaluate(expression)) }
        for (name, expression) in expressions.keyword { arguments.keyword.append((name, try evaluate(expression))) }
        if let unpacked = expressions.unpackedPositional {
            arguments.positional += try elements(of: try evaluate(unpacked))
        }
        if let unpacked = expressions.unpackedKeyword {
            guard case .dictionary(let dictionary) = try evaluate(unpacked) else {
                throw fail("argument after ** must be a mapping")
            }
            for (key, value) in zip(dictionary.keys, dictionary.values) {
                arguments.keyword.append((try requireString(key, "keywords"), value))
            }
        }
        return arguments
    }
}
