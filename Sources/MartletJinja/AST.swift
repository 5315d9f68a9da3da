/// A variable name, as its index in the template's table of names.
typealias Symbol = Int

/// An expression. Chains such as `a.b[c] | d` and `a + b + c` are flat, so that only brackets nest, and the parser's
/// bound on those bounds every recursion over the tree.
indirect enum Expression: Sendable {
    case constant(Value)
    case variable(Symbol)
    case list([Expression])
    case tuple([Expression])
    case dictionary([(key: Expression, value: Expression)])
    case postfix(base: Expression, links: [Link])
    case not(Expression)
    case negative(Expression)
    case positive(Expression)
    case arithmetic(Expression, [(ArithmeticOperator, Expression)])
    case concatenation([Expression])
    case comparison(Expression, [(ComparisonOperator, Expression)])
    case and([Expression])
    case or([Expression])
    /// `value if conditions[0] if conditions[1] … else otherwise`: the last condition decides about `otherwise`, an
    /// earlier one that fails leaves the result undefined.
    case conditional(value: Expression, conditions: [Expression], otherwise: Expression?)
}

/// One step of a chain that is applied to the value before it.
enum Link: Sendable {
    case attribute(String)
    case item(Expression)
    case slice(start: Expression?, stop: Expression?, step: Expression?)
    case call(ArgumentExpressions)
    /// An attribute that is called at once, so that no bound method has to be made.
    case methodCall(String, ArgumentExpressions)
    case filter(FilterExpression)
    case test(TestExpression)
}

struct ArgumentExpressions: Sendable {
    var positional: [Expression] = []
    var keyword: [(name: String, value: Expression)] = []
    /// `*list` and `**dictionary`.
    var unpackedPositional: Expression?
    var unpackedKeyword: Expression?
}

struct FilterExpression: Sendable {
    var name: String
    /// Nil for an unknown name where Jinja2 only complains when it gets there (inside of a condition).
    var filter: Filter?
    var arguments: ArgumentExpressions
    var line: Int
}

struct TestExpression: Sendable {
    var name: String
    var test: ValueTest?
    var arguments: ArgumentExpressions
    var isNegated: Bool
    var line: Int
}

enum ArithmeticOperator: Sendable { case add, subtract, multiply, divide, floorDivide, modulo, power }

enum ComparisonOperator: Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, `in`, notIn }

/// What can be assigned to.
indirect enum Target: Sendable {
    case variable(Symbol)
    case namespaceAttribute(Symbol, String)
    case tuple([Target])

    func assigns(_ symbol: Symbol) -> Bool {
        switch self {
        case .variable(let name): name == symbol
        case .namespaceAttribute: false
        case .tuple(let targets): targets.contains { $0.assigns(symbol) }
        }
    }
}

struct Statement: Sendable {
    indirect enum Kind: Sendable {
        case text(String)
        case output(Expression)
        case `if`(branches: [(condition: Expression, body: [Statement])], otherwise: [Statement])
        case `for`(ForStatement)
        case set(Target, Expression)
        case setBlock(Target, filters: [FilterExpression], body: [Statement])
        case with(assignments: [(target: Target, value: Expression)], body: [Statement])
        case macro(MacroDefinition)
        /// `{% call(parameters) macro(arguments) %}body{% endcall %}`
        case call(Expression, ArgumentExpressions, caller: MacroDefinition)
        case filter([FilterExpression], body: [Statement])
        /// A body with variables of its own: `{% generation %}`, `{% block … scoped %}`, `{% autoescape false %}`.
        case scoped([Statement])
        /// A body that sees no variables but its own and those of the top level.
        case block([Statement])
        case `break`
        case `continue`
    }

    var kind: Kind
    var line: Int
}

final class ForStatement: Sendable {
    let target: Target
    let iterable: Expression
    let condition: Expression?
    let isRecursive: Bool
    let body: [Statement]
    let otherwise: [Statement]

    init(
        target: Target, iterable: Expression, condition: Expression?, isRecursive: Bool, body: [Statement],
        otherwise: [Statement]
    ) {
        self.target = target
        self.iterable = iterable
        self.condition = condition
        self.isRecursive = isRecursive
        self.body = body
        self.otherwise = otherwise
    }
}

final class MacroDefinition: Sendable {
    /// Nil for the body of a call block.
    let name: String?
    let symbol: Symbol?
    let parameters: [(symbol: Symbol, name: String, defaultValue: Expression?)]
    let body: [Statement]
    /// Set when the body mentions them; only then does the macro accept arguments without a parameter.
    let varargs: Symbol?
    let kwargs: Symbol?
    let caller: Symbol?

    init(
        name: String?, symbol: Symbol?, parameters: [(symbol: Symbol, name: String, defaultValue: Expression?)],
        body: [Statement], varargs: Symbol?, kwargs: Symbol?, caller: Symbol?
    ) {
        self.name = name
        self.symbol = symbol
        self.parameters = parameters
        self.body = body
        self.varargs = varargs
        self.kwargs = kwargs
        self.caller = caller
    }
}
