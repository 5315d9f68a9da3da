extension Parser {
    // MARK: Tuples and conditions

    func isTupleEnd(_ endName: String?) -> Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .symbol(.rightParenthesis), .symbol(.assign): true
        case .name(let name): name == endName
        default: false
        }
    }

    /// One expression, or several with commas between them, which make a tuple.
    mutating func parseTuple(
        allowsConditional: Bool = true, endsAt endName: String? = nil, isParenthesized: Bool = false
    ) throws(JinjaError) -> Expression {
        var elements: [Expression] = []
        var isTuple = false
        while !isTupleEnd(endName) {
            elements.append(try parseExpression(allowsConditional: allowsConditional))
            guard skip(.comma) else { break }
            isTuple = true
        }
        if !isTuple {
            if let only = elements.first { return only }
            guard isParenthesized else { throw failure("expected an expression, got '\(current.kind.description)'") }
        }
        return .tuple(elements)
    }

    mutating func parseExpression(allowsConditional: Bool = true) throws(JinjaError) -> Expression {
        try enter()
        defer { leave() }
        let outerUnknownName = unknownName
        let value = try parseOr()
        guard allowsConditional, isName("if") else { return value }
        // No part needs to be reached.
        defer { unknownName = outerUnknownName }
        var conditions: [Expression] = []
        var otherwise: Expression?
        while otherwise == nil, skip(name: "if") {
            conditions.append(try parseOr())
            if skip(name: "else") { otherwise = try parseExpression() }
        }
        return .conditional(value: value, conditions: conditions, otherwise: otherwise)
    }

    private mutating func parseOr() throws(JinjaError) -> Expression {
        let first = try parseAnd()
        guard isName("or") else { return first }
        var operands = [first]
        while skip(name: "or") { operands.append(try parseAnd()) }
        return .or(operands)
    }

    private mutating func parseAnd() throws(JinjaError) -> Expression {
        let first = try parseNot()
        guard isName("and") else { return first }
        var operands = [first]
        while skip(name: "and") { operands.append(try parseNot()) }
        return .and(operands)
    }

    private mutating func parseNot() throws(JinjaError) -> Expression {
        guard skip(name: "not") else { return try parseComparison() }
        try enter()
        defer { leave() }
        return .not(try parseNot())
    }

    // MARK: Operators

    private mutating func parseComparison() throws(JinjaError) -> Expression {
        let first = try parseSum()
        var operands: [(ComparisonOperator, Expression)] = []
        while let comparison = comparisonOperator() {
            advance()
            if comparison == .notIn { advance() }
            operands.append((comparison, try parseSum()))
        }
        return operands.isEmpty ? first : .comparison(first, operands)
    }

    private func comparisonOperator() -> ComparisonOperator? {
        switch current.kind {
        case .symbol(.equal): .equal
        case .symbol(.notEqual): .notEqual
        case .symbol(.less): .less
        case .symbol(.lessOrEqual): .lessOrEqual
        case .symbol(.greater): .greater
        case .symbol(.greaterOrEqual): .greaterOrEqual
        case .name("in"): .in
        case .name("not") where next.kind == .name("in"): .notIn
        default: nil
        }
    }

    private mutating func parseSum() throws(JinjaError) -> Expression {
        let first = try parseConcatenation()
        var operands: [(ArithmeticOperator, Expression)] = []
        while true {
            if skip(.plus) {
                operands.append((.add, try parseConcatenation()))
            } else if skip(.minus) {
                operands.append((.subtract, try parseConcatenation()))
            } else {
                return operands.isEmpty ? first : .arithmetic(first, operands)
            }
        }
    }

    private mutating func parseConcatenation() throws(JinjaError) -> Expression {
        let first = try parseProduct()
        guard isSymbol(.tilde) else { return first }
        var operands = [first]
        while skip(.tilde) { operands.append(try parseProduct()) }
        return .concatenation(operands)
    }

    private mutating func parseProduct() throws(JinjaError) -> Expression {
        let first = try parsePower()
        var operands: [(ArithmeticOperator, Expression)] = []
        while true {
            let operation: ArithmeticOperator
            switch current.kind {
            case .symbol(.multiply): operation = .multiply
            case .symbol(.divide): operation = .divide
            case .symbol(.floorDivide): operation = .floorDivide
            case .symbol(.modulo): operation = .modulo
            default: return operands.isEmpty ? first : .arithmetic(first, operands)
            }
            advance()
            operands.append((operation, try parsePower()))
        }
    }

    /// Unlike in Python, powers group from the left.
    private mutating func parsePower() throws(JinjaError) -> Expression {
        let first = try parseUnary()
        var operands: [(ArithmeticOperator, Expression)] = []
        while skip(.power) { operands.append((.power, try parseUnary())) }
        return operands.isEmpty ? first : .arithmetic(first, operands)
    }

    /// A sign binds less than attributes and calls, and more than filters: `-x | abs` is `(-x) | abs`.
    private mutating func parseUnary(allowsFilters: Bool = true) throws(JinjaError) -> Expression {
        var expression: Expression
        if isSymbol(.minus) || isSymbol(.plus) {
            let isNegative = isSymbol(.minus)
            advance()
            try enter()
            let operand = try parseUnary(allowsFilters: false)
            leave()
            expression = isNegative ? .negative(operand) : .positive(operand)
        } else {
            expression = try parsePrimary()
        }
        var links: [Link] = []
        try parsePostfix(&links)
        if allowsFilters { try parseFiltersAndTests(&links) }
        if !links.isEmpty { expression = .postfix(base: expression, links: links) }
        return expression
    }

    // MARK: Primaries

    private mutating func parsePrimary() throws(JinjaError) -> Expression {
        switch current.kind {
        case .name(let name):
            _ = try expectName()
            switch name {
            case "true", "True": return .constant(.bool(true))
            case "false", "False": return .constant(.bool(false))
            case "none", "None": return .constant(.null)
            default: return reference(name)
            }
        case .string(var text):
            advance()
            while case .string(let more) = current.kind {
                text += more
                advance()
            }
            return .constant(.string(text))
        case .integer(let value):
            advance()
            return .constant(.int(value))
        case .largeInteger(let digits):
            advance()
            return .constant(.object(LargeInteger(digits: digits)))
        case .float(let value):
            advance()
            return .constant(.float(value))
        case .symbol(.leftParenthesis):
            advance()
            let tuple = try parseTuple(isParenthesized: true)
            try expect(.symbol(.rightParenthesis))
            return tuple
        case .symbol(.leftBracket): return try parseList()
        case .symbol(.leftBrace): return try parseDictionary()
        default: throw failure("unexpected '\(current.kind.description)'")
        }
    }

    private mutating func parseList() throws(JinjaError) -> Expression {
        advance()
        var elements: [Expression] = []
        while !skip(.rightBracket) {
            elements.append(try parseExpression())
            if !isSymbol(.rightBracket) { try expect(.symbol(.comma)) }
        }
        return .list(elements)
    }

    private mutating func parseDictionary() throws(JinjaError) -> Expression {
        advance()
        var entries: [(key: Expression, value: Expression)] = []
        while !skip(.rightBrace) {
            let key = try parseExpression()
            try expect(.symbol(.colon))
            entries.append((key, try parseExpression()))
            if !isSymbol(.rightBrace) { try expect(.symbol(.comma)) }
        }
        return .dictionary(entries)
    }

    // MARK: Chains

    private mutating func parsePostfix(_ links: inout [Link]) throws(JinjaError) {
        while true {
            if skip(.dot) {
                switch current.kind {
                case .name(let name):
                    advance()
                    links.append(.attribute(name))
                case .integer(let index):
                    advance()
                    links.append(.item(.constant(.int(index))))
                default: throw failure("expected a name or a number")
                }
            } else if skip(.leftBracket) {
                links.append(try parseSubscript())
            } else if isSymbol(.leftParenthesis) {
                try parseCall(&links)
            } else {
                return
            }
        }
    }

    private mutating func parseCall(_ links: inout [Link]) throws(JinjaError) {
        let arguments = try parseArguments()
        if case .attribute(let name) = links.last {
            links[links.count - 1] = .methodCall(name, arguments)
        } else {
            links.append(.call(arguments))
        }
    }

    /// What follows a left bracket: an expression, `start:stop:step`, or several expressions, which make a tuple.
    private mutating func parseSubscript() throws(JinjaError) -> Link {
        var elements: [Expression] = []
        while !skip(.rightBracket) {
            if !elements.isEmpty { try expect(.symbol(.comma)) }
            let start: Expression? = isSymbol(.colon) ? nil : try parseExpression()
            guard skip(.colon) else {
                if let start { elements.append(start) }
                continue
            }
            guard elements.isEmpty else { throw failure("a slice inside of a tuple") }
            let stop = try parseSliceBound()
            let step = skip(.colon) ? try parseSliceBound() : nil
            try expect(.symbol(.rightBracket))
            return .slice(start: start, stop: stop, step: step)
        }
        return .item(elements.count == 1 ? elements[0] : .tuple(elements))
    }

    private mutating func parseSliceBound() throws(JinjaError) -> Expression? {
        switch current.kind {
        case .symbol(.colon), .symbol(.rightBracket), .symbol(.comma): nil
        default: try parseExpression()
        }
    }

    mutating func parseArguments() throws(JinjaError) -> ArgumentExpressions {
        let line = self.line
        let malformed = failure("invalid syntax for function call expression", line: line)
        var arguments = ArgumentExpressions()
        try expect(.symbol(.leftParenthesis))
        while !skip(.rightParenthesis) {
            if skip(.multiply) {
                guard arguments.unpackedPositional == nil, arguments.unpackedKeyword == nil else { throw malformed }
                arguments.unpackedPositional = try parseExpression()
            } else if skip(.power) {
                guard arguments.unpackedKeyword == nil else { throw malformed }
                arguments.unpackedKeyword = try parseExpression()
            } else if case .name(let name) = current.kind, next.kind == .symbol(.assign) {
                guard arguments.unpackedKeyword == nil else { throw malformed }
                advance()
                advance()
                arguments.keyword.append((name, try parseExpression()))
            } else {
                guard arguments.unpackedPositional == nil, arguments.unpackedKeyword == nil, arguments.keyword.isEmpty
                else { throw malformed }
                arguments.positional.append(try parseExpression())
            }
            if !isSymbol(.rightParenthesis) { try expect(.symbol(.comma)) }
        }
        return arguments
    }

    private mutating func parseFiltersAndTests(_ links: inout [Link]) throws(JinjaError) {
        while true {
            if isSymbol(.pipe) {
                links.append(contentsOf: try parseFilterChain().map(Link.filter))
            } else if isName("is") {
                links.append(.test(try parseTest()))
            } else if isSymbol(.leftParenthesis) {
                links.append(.call(try parseArguments()))
            } else {
                return
            }
        }
    }

    private mutating func noteUnknown(_ kind: String, _ name: String, line: Int) {
        guard !isConditional, unknownName == nil else { return }
        unknownName = failure("no \(kind) named '\(name)'", line: line)
    }

    private mutating func parseDottedName() throws(JinjaError) -> String {
        var name = try expectName()
        while skip(.dot) { name += "." + (try expectName()) }
        return name
    }

    /// `| name(arguments) | …`; with `startsInline` the first bar is missing, as in a filter block.
    mutating func parseFilterChain(startsInline: Bool = false) throws(JinjaError) -> [FilterExpression] {
        var filters: [FilterExpression] = []
        while startsInline && filters.isEmpty || isSymbol(.pipe) {
            _ = skip(.pipe)
            let line = self.line
            let name = try parseDottedName()
            let filter = Filter.named[name]
            if filter == nil { noteUnknown("filter", name, line: line) }
            let arguments = isSymbol(.leftParenthesis) ? try parseArguments() : ArgumentExpressions()
            filters.append(FilterExpression(name: name, filter: filter, arguments: arguments, line: line))
        }
        return filters
    }

    /// `is [not] name`, with arguments in parentheses or one primary behind it: `x is divisibleby 3`.
    private mutating func parseTest() throws(JinjaError) -> TestExpression {
        let line = self.line
        advance()
        let isNegated = skip(name: "not")
        let name = try parseDottedName()
        let test = ValueTest.named[name]
        if test == nil { noteUnknown("test", name, line: line) }
        var arguments = ArgumentExpressions()
        switch current.kind {
        case .symbol(.leftParenthesis): arguments = try parseArguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw failure("tests cannot be chained with 'is'")
        case .name, .string, .integer, .largeInteger, .float, .symbol(.leftBracket), .symbol(.leftBrace):
            let argument = try parsePrimary()
            var links: [Link] = []
            try parsePostfix(&links)
            arguments.positional = [links.isEmpty ? argument : .postfix(base: argument, links: links)]
        default: break
        }
        return TestExpression(name: name, test: test, arguments: arguments, isNegated: isNegated, line: line)
    }
}
