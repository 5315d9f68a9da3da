/// One lexical element of a template.
struct Token: Sendable {
    enum Kind: Sendable, Equatable {
        /// Text outside of tags, after whitespace control.
        case data(String)
        case variableBegin
        case variableEnd
        case blockBegin
        case blockEnd
        case name(String)
        case string(String)
        case integer(Int)
        /// The decimal digits of an integer beyond 64 bits.
        case largeInteger(String)
        case float(Double)
        case symbol(Symbol)
        case end
    }

    /// Operators and brackets, by their spelling.
    enum Symbol: String, Sendable, CaseIterable {
        case plus = "+"
        case minus = "-"
        case divide = "/"
        case floorDivide = "//"
        case multiply = "*"
        case modulo = "%"
        case power = "**"
        case tilde = "~"
        case leftBracket = "["
        case rightBracket = "]"
        case leftParenthesis = "("
        case rightParenthesis = ")"
        case leftBrace = "{"
        case rightBrace = "}"
        case equal = "=="
        case notEqual = "!="
        case greater = ">"
        case greaterOrEqual = ">="
        case less = "<"
        case lessOrEqual = "<="
        case assign = "="
        case dot = "."
        case colon = ":"
        case pipe = "|"
        case comma = ","
        case semicolon = ";"
    }

    var kind: Kind
    var line: Int
}

extension Token.Kind {
    /// How an error message names the token.
    var description: String {
        switch self {
        case .data: "template data"
        case .variableBegin: "begin of print statement"
        case .variableEnd: "end of print statement"
        case .blockBegin: "begin of statement block"
        case .blockEnd: "end of statement block"
        case .name(let name): name
        case .string: "string"
        case .integer(let value): String(value)
        case .largeInteger(let digits): digits
        case .float(let value): String(value)
        case .symbol(let symbol): symbol.rawValue
        case .end: "end of template"
        }
    }
}
