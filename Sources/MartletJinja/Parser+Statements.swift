extension Parser {
    mutating func parseTemplate() throws(JinjaError) -> [Statement] {
        let statements = try parseBody(until: [])
        if let unknownName { throw unknownName }
        return statements
    }

    /// Text, print statements and blocks, up to a block whose name is in `endNames`; that name is then the current
    /// token.
    private mutating func parseBody(until endNames: [String]) throws(JinjaError) -> [Statement] {
        try enter()
        var statements: [Statement] = []
        while true {
            let line = self.line
            switch current.kind {
            case .data(let text):
                advance()
                statements.append(Statement(kind: .text(text), line: line))
            case .variableBegin:
                advance()
                let value = try parseTuple()
                try expect(.variableEnd)
                statements.append(Statement(kind: .output(value), line: line))
            case .blockBegin:
                advance()
                if case .name(let name) = current.kind, endNames.contains(name) {
                    leave()
                    return statements
                }
                statements.append(contentsOf: try parseStatement())
                try expect(.blockEnd)
            case .end:
                guard endNames.isEmpty else {
                    throw failure("unexpected end of template, looking for \(endNames.joined(separator: " or "))")
                }
                leave()
                return statements
            default:
                throw failure("unexpected '\(current.kind.description)'")
            }
        }
    }

    /// The rest of a block tag and its body, up to and including the name of the end tag, which is returned.
    private mutating func parseBlock(until endNames: String...) throws(JinjaError) -> (body: [Statement], end: String) {
        _ = skip(.colon)
        try expect(.blockEnd)
        let body = try parseBody(until: endNames)
        return (body, try expectName())
    }

    /// A body whose filters are looked up at once, because it does not belong to the condition around it.
    private mutating func parseUnconditionalBlock(until endNames: String...) throws(JinjaError) -> [Statement] {
        let outer = isConditional
        isConditional = false
        _ = skip(.colon)
        try expect(.blockEnd)
        let body = try parseBody(until: endNames)
        isConditional = outer
        return body
    }

    private mutating func parseStatement() throws(JinjaError) -> [Statement] {
        let line = self.line
        let name = try expectName()
        let kind: Statement.Kind
        switch name {
        case "if": kind = try parseIf()
        case "for": kind = .for(try parseFor())
        case "set": kind = try parseSet()
        case "with": kind = try parseWith()
        case "macro": kind = try parseMacro()
        case "call": kind = try parseCall()
        case "filter":
            let filters = try parseFilterChain(startsInline: true)
            kind = .filter(filters, body: try parseUnconditionalBlock(until: "endfilter"))
            advance()
        case "generation":
            kind = .scoped(try parseUnconditionalBlock(until: "endgeneration"))
            advance()
        case "block":
            let block = try expectName()
            let isScoped = skip(name: "scoped")
            let outerLoops = loopDepth
            loopDepth = 0
            let body = try parseUnconditionalBlock(until: "endblock")
            loopDepth = outerLoops
            kind = isScoped ? .scoped(body) : .block(body)
            advance()
            _ = skip(name: block)
        case "autoescape":
            // Prompts are not HTML: only the setting that changes nothing is accepted.
            guard case .constant(.bool(false)) = try parseExpression() else {
                throw failure("autoescape is not supported", line: line)
            }
            kind = .scoped(try parseUnconditionalBlock(until: "endautoescape"))
            advance()
        case "print":
            var statements: [Statement] = []
            repeat {
                statements.append(Statement(kind: .output(try parseExpression()), line: line))
            } while skip(.comma)
            return statements
        case "break", "continue":
            guard loopDepth > 0 else { throw failure("'\(name)' outside of a loop", line: line) }
            kind = name == "break" ? .break : .continue
        case "extends", "include", "import", "from":
            throw failure("'\(name)' needs other templates, and there are none", line: line)
        default:
            throw failure("encountered unknown tag '\(name)'", line: line)
        }
        return [Statement(kind: kind, line: line)]
    }

    private mutating func parseIf() throws(JinjaError) -> Statement.Kind {
        var branches: [(condition: Expression, body: [Statement])] = []
        var otherwise: [Statement] = []
        let outer = isConditional
        while true {
            isConditional = true
            let condition = try parseTuple(allowsConditional: false)
            let (body, end) = try parseBlock(until: "elif", "else", "endif")
            isConditional = outer
            branches.append((condition, body))
            if end == "elif" { continue }
            if end == "else" {
                isConditional = true
                otherwise = try parseBlock(until: "endif").body
                isConditional = outer
            }
            return .if(branches: branches, otherwise: otherwise)
        }
    }

    private mutating func parseFor() throws(JinjaError) -> ForStatement {
        let target = try parseTarget(endsAt: "in")
        if target.assigns(Self.loopSymbol) { throw failure("can't assign to the variable 'loop' in a loop") }
        try expect(.name("in"))
        let iterable = try parseTuple(allowsConditional: false, endsAt: "recursive")
        let condition = skip(name: "if") ? try parseExpression() : nil
        let isRecursive = skip(name: "recursive")
        loopDepth += 1
        let body = try parseUnconditionalBlock(until: "endfor", "else")
        loopDepth -= 1
        var otherwise: [Statement] = []
        if try expectName() == "else" {
            otherwise = try parseUnconditionalBlock(until: "endfor")
            advance()
        }
        return ForStatement(
            target: target, iterable: iterable, condition: condition, isRecursive: isRecursive, body: body,
            otherwise: otherwise)
    }

    private mutating func parseSet() throws(JinjaError) -> Statement.Kind {
        let target = try parseTarget(allowsNamespace: true)
        if loopDepth > 0, target.assigns(Self.loopSymbol) {
            throw failure("can't assign to the variable 'loop' in a loop")
        }
        if skip(.assign) { return .set(target, try parseTuple()) }
        let filters = try parseFilterChain()
        let body = try parseUnconditionalBlock(until: "endset")
        advance()
        return .setBlock(target, filters: filters, body: body)
    }

    private mutating func parseWith() throws(JinjaError) -> Statement.Kind {
        var assignments: [(target: Target, value: Expression)] = []
        while current.kind != .blockEnd {
            if !assignments.isEmpty { try expect(.symbol(.comma)) }
            let target = try parseTarget()
            try expect(.symbol(.assign))
            assignments.append((target, try parseExpression()))
        }
        let body = try parseUnconditionalBlock(until: "endwith")
        advance()
        return .with(assignments: assignments, body: body)
    }

    // MARK: Macros

    private typealias Parameters = [(symbol: Symbol, name: String, defaultValue: Expression?)]

    private mutating func parseParameters() throws(JinjaError) -> Parameters {
        var parameters: Parameters = []
        try expect(.symbol(.leftParenthesis))
        while !isSymbol(.rightParenthesis) {
            if !parameters.isEmpty { try expect(.symbol(.comma)) }
            let name = try expectName()
            var defaultValue: Expression?
            if skip(.assign) {
                defaultValue = try parseExpression()
            } else if parameters.last?.defaultValue != nil {
                throw failure("a parameter without default follows one with default")
            }
            guard name != "caller" || defaultValue != nil else {
                throw failure("the parameter 'caller' needs a default, because it is passed by call blocks only")
            }
            parameters.append((symbol(name), name, defaultValue))
        }
        advance()
        return parameters
    }

    private mutating func parseMacro() throws(JinjaError) -> Statement.Kind {
        let name = try expectName()
        macroReferences.append([])
        let parameters = try parseParameters()
        return .macro(try parseMacroBody(name: name, parameters: parameters, end: "endmacro"))
    }

    private mutating func parseCall() throws(JinjaError) -> Statement.Kind {
        macroReferences.append([])
        let parameters = isSymbol(.leftParenthesis) ? try parseParameters() : []
        let line = self.line
        guard case .postfix(let base, var links) = try parseExpression() else {
            throw failure("expected a call", line: line)
        }
        let arguments: ArgumentExpressions
        switch links.popLast() {
        case .call(let called): arguments = called
        case .methodCall(let name, let called):
            links.append(.attribute(name))
            arguments = called
        default: throw failure("expected a call", line: line)
        }
        let callee = links.isEmpty ? base : .postfix(base: base, links: links)
        return .call(callee, arguments, caller: try parseMacroBody(name: nil, parameters: parameters, end: "endcall"))
    }

    /// The body up to the end tag. The caller has opened a level of `macroReferences`.
    private mutating func parseMacroBody(
        name: String?, parameters: Parameters, end: String
    ) throws(JinjaError) -> MacroDefinition {
        let outerLoops = loopDepth
        loopDepth = 0
        let body = try parseUnconditionalBlock(until: end)
        loopDepth = outerLoops
        advance()
        let references = macroReferences.popLast() ?? []
        func special(_ name: String) -> Symbol? {
            references.contains(name) && !parameters.contains { $0.name == name } ? symbol(name) : nil
        }
        return MacroDefinition(
            name: name, symbol: name.map { symbol($0) }, parameters: parameters, body: body,
            varargs: special("varargs"),
            kwargs: special("kwargs"), caller: special("caller"))
    }

    // MARK: Targets

    /// `a`, `a, (b, c)` or `namespace.attribute`.
    private mutating func parseTarget(allowsNamespace: Bool = false, endsAt endName: String? = nil) throws(JinjaError)
        -> Target
    {
        var targets: [Target] = []
        var isTuple = false
        while !isTupleEnd(endName) {
            targets.append(try parseSingleTarget(allowsNamespace: allowsNamespace))
            guard skip(.comma) else { break }
            isTuple = true
        }
        if isTuple { return .tuple(targets) }
        guard let target = targets.first else { throw failure("expected a name to assign to") }
        return target
    }

    private mutating func parseSingleTarget(allowsNamespace: Bool) throws(JinjaError) -> Target {
        if skip(.leftParenthesis) {
            try enter()
            let target = try parseTarget()
            leave()
            try expect(.symbol(.rightParenthesis))
            return target
        }
        let line = self.line
        let name = try expectName()
        guard !["true", "false", "True", "False", "none", "None"].contains(name) else {
            throw failure("can't assign to '\(name)'", line: line)
        }
        if allowsNamespace, skip(.dot) { return .namespaceAttribute(symbol(name), try expectName()) }
        return .variable(symbol(name))
    }
}
