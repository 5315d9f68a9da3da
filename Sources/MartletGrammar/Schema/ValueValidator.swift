import MartletJinja

/// Says whether values satisfy schemas: those of `enum` and `const`, for which other keywords hold as well.
///
/// Formats are narrower here than in their RFCs, and not all numbers can be compared digit by digit. So there are two answers:
/// whether a value certainly satisfies a schema, and whether it may.
struct ValueValidator {
    let reader: SchemaReader
    private var patterns: [PatternKey: PositionAutomaton] = [:]
    private var patternNodes = 0
    private var depth = 0

    private struct PatternKey: Hashable {
        let expression: ExactString
        let finds: Bool
    }

    init(_ reader: SchemaReader) { self.reader = reader }

    mutating func admits(
        _ value: Value, _ constraints: SchemaConstraints, certainly: Bool, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        depth += 1
        defer { depth -= 1 }
        guard depth <= reader.limits.depth else { throw .tooComplex("the schema is nested too deeply") }
        try builder.charge()
        guard !constraints.isFalse, let type = JSONType(value), constraints.types.contains(type) else { return false }
        if let values = constraints.values, try !values.contains(value, &builder) { return false }
        let isAdmitted: Bool
        switch value {
        case .string(let text): isAdmitted = try admits(text, constraints, certainly: certainly, &builder)
        case .list(let list): isAdmitted = try admits(list, constraints, certainly: certainly, &builder)
        case .dictionary(let members):
            isAdmitted = try admits(members, constraints, certainly: certainly, &builder)
        default: isAdmitted = type != .number || Self.admitsNumber(value, constraints, certainly: certainly)
        }
        guard isAdmitted else { return false }
        for group in constraints.groups where try !admits(value, group, certainly: certainly, &builder) { return false }
        return true
    }

    private mutating func admits(
        _ value: Value, _ schemas: [Subschema], certainly: Bool, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        let schemas = schemas.filter { !$0.isTrivial }
        if schemas.isEmpty { return true }
        return try admits(value, reader.constraints(schemas, &builder), certainly: certainly, &builder)
    }

    private mutating func admits(
        _ value: Value, _ group: SchemaConstraints.Group, certainly: Bool, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        // Certainly exactly one: one that certainly holds, and no other that may.
        var (possible, certain) = (0, 0)
        for alternative in group.alternatives {
            let constraints = try reader.constraints([alternative], &builder)
            if certainly, try admits(value, constraints, certainly: true, &builder) {
                (possible, certain) = (possible + 1, certain + 1)
            } else if try admits(value, constraints, certainly: false, &builder) {
                possible += 1
            }
            if certainly ? certain > 0 && !group.isExclusive : possible > 0 { return true }
        }
        return certain > 0 && possible == 1
    }

    // MARK: Types

    private static func admitsNumber(_ value: Value, _ constraints: SchemaConstraints, certainly: Bool) -> Bool {
        guard constraints.integersOnly || constraints.hasNumberConstraints else { return true }
        guard let number = Decimal(value) else { return !certainly }
        if constraints.integersOnly, !number.fraction.isEmpty { return false }
        guard number.integer.reduce(0, { ($0 * 10 + Int($1)) % constraints.divisor }) == 0 else { return false }
        if let lower = constraints.lower {
            guard lower.value < number || lower.value == number && lower.isInclusive else { return false }
        }
        if let upper = constraints.upper {
            guard number < upper.value || upper.value == number && upper.isInclusive else { return false }
        }
        return true
    }

    private mutating func admits(
        _ text: String, _ constraints: SchemaConstraints, certainly: Bool, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        guard constraints.hasStringConstraints else { return true }
        let length = text.unicodeScalars.count
        try builder.charge(1 + length / 64)
        guard length >= constraints.minLength, length <= constraints.maxLength ?? .max else { return false }
        for pattern in constraints.patterns where try !matches(text, pattern, finds: true, &builder) { return false }
        guard certainly else { return true }
        for name in constraints.formats {
            guard try matches(text, StringFormat.expression(name) ?? "", finds: false, &builder) else { return false }
        }
        return true
    }

    private mutating func admits(
        _ list: ValueList, _ constraints: SchemaConstraints, certainly: Bool, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        let count = list.elements.count
        guard count >= constraints.minItems, count <= constraints.maxItems ?? .max else { return false }
        for elements in constraints.elements {
            for (index, element) in list.elements.enumerated() {
                let schema = index < elements.prefix.count ? elements.prefix[index] : elements.rest
                guard try admits(element, [schema ?? .anything], certainly: certainly, &builder) else { return false }
            }
        }
        return true
    }

    private mutating func admits(
        _ members: ValueDictionary, _ constraints: SchemaConstraints, certainly: Bool,
        _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        guard members.count >= constraints.minProperties, members.count <= constraints.maxProperties ?? .max,
            constraints.required.allSatisfy({ members[$0] != nil })
        else { return false }
        try builder.charge(constraints.required.count)
        for (key, value) in zip(members.keys, members.values) {
            let schemas = try schemas(of: key.asString ?? "", constraints.members, &builder)
            guard try admits(key, constraints.names, certainly: certainly, &builder),
                try admits(value, schemas, certainly: certainly, &builder)
            else { return false }
        }
        return true
    }

    // MARK: Members

    /// What the value of a member has to satisfy.
    mutating func schemas(
        of name: String, _ members: [SchemaConstraints.Members], _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> [Subschema] {
        var schemas: [Subschema] = []
        for part in members {
            var own = try part.schemas(of: name, &builder)
            for (expression, schema) in part.patterns where try matches(name, expression, finds: true, &builder) {
                own.append(schema)
            }
            if own.isEmpty, let additional = part.additional { own = [additional] }
            schemas += own
        }
        return schemas
    }

    private mutating func matches(
        _ text: String, _ expression: String, finds: Bool, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        let key = PatternKey(expression: ExactString(expression), finds: finds)
        if let known = patterns[key] { return try known.accepts(text, &builder) }
        try builder.charge(1 + expression.utf8.count / 16)
        let automaton = try PositionAutomaton(
            PatternParser.parse(expression, finds: finds, limits: reader.limits), &builder)
        patternNodes += automaton.nodes.count
        if patternNodes > PositionAutomaton.capacity(reader.limits) {
            patterns = [:]
            patternNodes = automaton.nodes.count
        }
        patterns[key] = automaton
        return try automaton.accepts(text, &builder)
    }
}
