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
            return properties.filter { $0.name == name }.map(\.schema)
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

    /// Schemas that were read for it.
    var parts = 0
    /// Keywords, members, values and the like that these have.
    var entries = 0
    var types = Set(JSONType.allCases)
    var integersOnly = false
    /// `enum` and `const`.
    var values: [Value]?
    var minLength = 0
    var maxLength: Int?
    var patterns: [String] = []
    var formats: [String] = []
    var lower: NumberBound?
    var upper: NumberBound?
    var divisor = 1
    var elements: [Elements] = []
    var minItems = 0
    var maxItems: Int?
    var members: [Members] = []
    private(set) var required: [String] = []
    private(set) var requiredNames: Set<String> = []
    var minProperties = 0
    var maxProperties: Int?
    var names: [Subschema] = []
    var groups: [Group] = []
    /// Nothing satisfies it.
    var isFalse = false
    /// Whether anything was said.
    var isTrivial = true

    /// Objects must have a member of that name.
    mutating func require(_ name: String) {
        if requiredNames.insert(name).inserted { required.append(name) }
    }

    var hasStringConstraints: Bool { minLength > 0 || maxLength != nil || !patterns.isEmpty || !formats.isEmpty }
    var hasNumberConstraints: Bool { lower != nil || upper != nil || divisor != 1 }
    /// Whether `types` and `integersOnly` say all.
    var isOnlyTypes: Bool {
        !hasStringConstraints && !hasNumberConstraints && elements.isEmpty && minItems == 0 && maxItems == nil
            && members.isEmpty && required.isEmpty && minProperties == 0 && maxProperties == nil && names.isEmpty
    }
}
