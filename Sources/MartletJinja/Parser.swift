// The grammar of Jinja2 (https://jinja.palletsprojects.com/en/stable/templates/), by recursive descent. The statements
// `extends`, `include` and `import` need other templates, which a chat template does not have: they are syntax errors.

/// Parses tokens into statements. The parts are in `Parser+Statements.swift` and `Parser+Expressions.swift`.
struct Parser {
    private let tokens: [Token]
    private var position = 0
    private let limits: Limits
    private var depth = 0

    /// Every variable name of the template, at the index that is its symbol.
    private(set) var names: [String] = []
    private var symbols: [String: Symbol] = [:]

    /// Which of `varargs`, `kwargs` and `caller` the bodies of the macros being parsed mention, innermost last.
    var macroReferences: [Set<String>] = []
    /// Inside of an if statement, where Jinja2 lets an unknown filter pass until it is reached.
    var isConditional = false
    /// The first filter or test that is unknown where no condition is around it. As in Jinja2 it stops a template only when
    /// all of that is parsed: what comes behind may make it a part of an inline if.
    var unknownName: JinjaError?
    /// Loops around the current statement, within the same macro body.
    var loopDepth = 0

    init(_ source: String, limits: Limits) throws(JinjaError) {
        guard source.utf8.count <= limits.maxSourceBytes else {
            throw JinjaError(.limitExceeded, "the template is larger than \(limits.maxSourceBytes) bytes")
        }
        tokens = try Lexer.tokenize(source)
        self.limits = limits
        _ = symbol("loop")
    }

    /// Every template has this name, so that loops need not look for it.
    static let loopSymbol: Symbol = 0

    // MARK: Tokens

    var current: Token { tokens[position] }
    var next: Token { tokens[min(position + 1, tokens.count - 1)] }
    var line: Int { current.line }

    mutating func advance() {
        if position < tokens.count - 1 { position += 1 }
    }

    func failure(_ message: String, line: Int? = nil) -> JinjaError {
        JinjaError(.syntax, message, line: line ?? self.line)
    }

    func isName(_ name: String) -> Bool { current.kind == .name(name) }
    func isSymbol(_ symbol: Token.Symbol) -> Bool { current.kind == .symbol(symbol) }

    mutating func skip(_ symbol: Token.Symbol) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func skip(name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func expect(_ kind: Token.Kind) throws(JinjaError) {
        guard current.kind == kind else {
            throw failure("expected '\(kind.description)', got '\(current.kind.description)'")
        }
        advance()
    }

    mutating func expectName() throws(JinjaError) -> String {
        guard case .name(let name) = current.kind else {
            throw failure("expected a name, got '\(current.kind.description)'")
        }
        if let first = name.unicodeScalars.first, !first.isIdentifierStart {
            throw failure("invalid character in identifier '\(name)'")
        }
        advance()
        return name
    }

    // MARK: Depth and names

    /// Called where the grammar recurses; `leave` goes back.
    mutating func enter() throws(JinjaError) {
        depth += 1
        guard depth <= limits.maxParserDepth else {
            throw JinjaError(.limitExceeded, "the template is nested too deeply", line: line)
        }
    }

    mutating func leave() { depth -= 1 }

    mutating func symbol(_ name: String) -> Symbol {
        if let symbol = symbols[name] { return symbol }
        names.append(name)
        symbols[name] = names.count - 1
        return names.count - 1
    }

    mutating func reference(_ name: String) -> Expression {
        if name == "varargs" || name == "kwargs" || name == "caller" {
            for index in macroReferences.indices { macroReferences[index].insert(name) }
        }
        return .variable(symbol(name))
    }
}
