import MartletJinja

/// What several schemas say together, keyword by keyword.
struct SchemaConstraints {
    /// What one schema says about the members of objects.
    struct Members {
        var properties: [(name: String, schema: Subschema)] = []
        var patterns: [(expression: String, schema: Subschema)] = []
        var additional: Subschema?

        /// Of the member of that name.
        func schemas(
            of name: String, _ builder: inout AutomatonBuilder
        ) throws(GrammarError) -> [Subschema] {
            try builder.charge(properties.count)
            let name = ExactString(name)
            return properties.filter { ExactString($0.name) == name }.map(\.schema)
        }
    }

    /// What one schema says about the elements of arrays.
    struct Elements {
        var prefix: [Subschema] = []
        var rest: Subschema?
    }

    /// Alternatives, of which any one has to hold.
    struct Group {
        var alternatives: [Subschema]
        /// Exactly one.
        var isExclusive: Bool
    }

    /// Values that differ, in the order in which they were named.
    struct Values {
        private(set) var all: [Value] = []
        private var keys: Set<ExactString> = []

        init(_ values: [Value], _ builder: inout AutomatonBuilder) throws(GrammarError) {
            for value in values {
                if keys.insert(try JSONText.key(value, &builder)).inserted { all.append(value) }
            }
        }

        func contains(_ value: Value, _ builder: inout AutomatonBuilder) throws(GrammarError) -> Bool {
            keys.contains(try JSONText.key(value, &builder))
        }

        /// Those that are in both.
        func common(_ other: Values, _ builder: inout AutomatonBuilder) throws(GrammarError) -> Values {
            var common: [Value] = []
            for value in all where try other.contains(value, &builder) { common.append(value) }
            return try Values(common, &builder)
        }
    }

    /// What was put together, and the alternatives of `anyOf` and `oneOf` that were then chosen, in their order.
    var schemas: [Subschema] = []
    var chosen: [Subschema] = []
    /// Schemas that were read for it.
    var parts = 0
    /// Keywords, members, values and the like that these have.
    var entries = 0
    var types = Set(JSONType.allCases)
    var integersOnly = false
    /// `enum` and `const`.
    var values: Values?
    var minLength = 0
    var maxLength: Int?
    private(set) var patterns: [String] = []
    var formats: [String] = []
    var lower: NumberBound?
    var upper: NumberBound?
    var divisor = 1
    var elements: [Elements] = []
    var minItems = 0
    var maxItems: Int?
    var members: [Members] = []
    private(set) var required: [String] = []
    private var requiredNames: Set<ExactString> = []
    var minProperties = 0
    var maxProperties: Int?
    var names: [Subschema] = []
    var groups: [Group] = []
    /// Nothing satisfies it.
    var isFalse = false

    /// Strings must match an expression.
    mutating func match(_ expression: String) {
        if !patterns.contains(where: { ExactString($0) == ExactString(expression) }) { patterns.append(expression) }
    }

    /// Objects must have a member of that name.
    mutating func require(_ name: String) {
        if requiredNames.insert(ExactString(name)).inserted { required.append(name) }
    }

    func requires(_ name: String) -> Bool { requiredNames.contains(ExactString(name)) }

    var hasStringConstraints: Bool { minLength > 0 || maxLength != nil || !patterns.isEmpty || !formats.isEmpty }
    var hasNumberConstraints: Bool { lower != nil || upper != nil || divisor != 1 }
    /// Whether `types` and `integersOnly` say all.
    var isOnlyTypes: Bool {
        !hasStringConstraints && !hasNumberConstraints && elements.isEmpty && minItems == 0 && maxItems == nil
            && members.isEmpty && required.isEmpty && minProperties == 0 && maxProperties == nil && names.isEmpty
    }
}
