import MartletJinja
import MartletTokenizers

/// Turns a JSON Schema into nodes that take JSON which satisfies it.
///
/// Not all of such JSON is taken: members come in the order in which the schema names them, others only where
/// `additionalProperties` asks for them. All that is taken satisfies the schema.
struct SchemaCompiler {
    typealias NodeID = AutomatonBuilder.NodeID

    let reader: SchemaReader
    var json = JSONRules()
    /// Of schemas that refer to others, by what they say.
    private var rules: [String: Int] = [:]
    private var depth = 0
    private var alternatives = 0

    init(_ root: Value, limits: GrammarLimits) {
        reader = SchemaReader(root: root, limits: limits)
    }

    mutating func compile(
        _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        try value([Subschema(value: reader.root, path: "#")], &builder, next)
    }

    /// A value that satisfies all of some schemas.
    mutating func value(
        _ schemas: [Subschema], _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        depth += 1
        defer { depth -= 1 }
        guard depth <= reader.limits.depth else { throw .tooComplex("the schema is nested too deeply") }
        try builder.charge()
        let schemas = schemas.filter { !$0.isTrivial }
        if schemas.isEmpty { return try json.call(.value, &builder, next) }
        guard schemas.contains(where: { $0.value.refersDirectly }) || schemas.count == 1 && schemas[0].path == "#"
        else {
            return try value(reader.constraints(schemas, &builder), &builder, next)
        }
        // Schemas that refer to others may contain themselves.
        var key = ""
        var seen: Set<String> = []
        var distinct: [Subschema] = []
        for schema in schemas {
            var text = schema.path == "#" ? "#" : schema.reference
            if text == nil { text = try JSONText.text(schema.value, &builder) }
            guard let text else { continue }
            guard seen.insert(text).inserted else { continue }
            distinct.append(schema)
            key += text + "\n"
        }
        if let rule = rules[key] { return try builder.call(rule, next) }
        let rule = builder.declareRule()
        rules[key] = rule
        try builder.define(rule, value(reader.constraints(distinct, &builder), &builder, builder.end))
        return try builder.call(rule, next)
    }

    private mutating func value(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        if constraints.isFalse { return builder.failure }
        if !constraints.groups.isEmpty { return try alternatives(constraints, &builder, next) }
        if let values = constraints.values { return try enumeration(values, constraints, &builder, next) }
        var targets: [NodeID] = []
        for type in JSONType.allCases where constraints.types.contains(type) {
            let node: NodeID
            switch type {
            case .null: node = try builder.literal("null", next)
            case .boolean: node = try builder.words(["true", "false"].map { Array($0.utf8) }, next)
            case .number: node = try number(constraints, &builder, next)
            case .string: node = try string(constraints, &builder, next)
            case .array: node = try array(constraints, &builder, next)
            case .object: node = try object(constraints, &builder, next)
            }
            targets.append(node)
        }
        return try builder.choice(targets)
    }

    // MARK: Alternatives

    private mutating func alternatives(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        depth += 1
        defer { depth -= 1 }
        guard depth <= reader.limits.depth else { throw .tooComplex("the schema is nested too deeply") }
        var rest = constraints
        let group = rest.groups.removeFirst()
        if group.isExclusive {
            var comparison = SchemaComparison(reader: reader)
            try comparison.checkDisjoint(group.alternatives, &builder)
        }
        let isAlone =
            rest.groups.isEmpty && rest.isOnlyTypes && rest.values == nil && !rest.integersOnly
            && rest.types.count == JSONType.allCases.count
        var targets: [NodeID] = []
        for alternative in group.alternatives {
            alternatives += 1
            guard alternatives <= reader.limits.alternatives else {
                throw .tooComplex("the schema's alternatives multiply to more than \(reader.limits.alternatives)")
            }
            if isAlone {
                targets.append(try value([alternative], &builder, next))
            } else {
                var all = rest
                try reader.gather(alternative, into: &all, &builder)
                targets.append(try value(all, &builder, next))
            }
        }
        return try builder.choice(targets)
    }

    private mutating func enumeration(
        _ values: [Value], _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        var words: [[UInt8]] = []
        for value in values {
            guard let type = JSONType(value), constraints.types.contains(type) else { continue }
            if type == .number, constraints.integersOnly, Decimal(value)?.fraction.isEmpty != true { continue }
            words.append(Array(try JSONText.text(value, &builder).utf8))
        }
        if !constraints.isOnlyTypes {
            // What else is said holds for these values if they are texts that it admits.
            var others = constraints
            others.values = nil
            // Looks at the clock: a scratch builder alone is too small to.
            try builder.charge(256)
            var scratch = AutomatonBuilder(limits: reader.limits, deadline: builder.deadline)
            var compiler = SchemaCompiler(reader.root, limits: reader.limits)
            // A schema may contain itself.
            compiler.depth = depth
            let start = try compiler.value(others, &scratch, scratch.end)
            if start == scratch.failure { return builder.failure }
            var space = try StateSpace(scratch.automaton(start: start), limits: reader.limits)
            var admitted: [[UInt8]] = []
            for word in words {
                try builder.charge(word.count)
                var state = space.start
                for byte in word where state != StateSpace.dead { state = try space.next(state, byte) }
                if space.isComplete(state) { admitted.append(word) }
            }
            words = admitted
        }
        return words.isEmpty ? builder.failure : try builder.words(words, next)
    }

    // MARK: Numbers and strings

    private mutating func number(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        guard constraints.hasNumberConstraints else {
            return try json.call(constraints.integersOnly ? .integer : .number, &builder, next)
        }
        return try NumberRange(
            lower: constraints.lower, upper: constraints.upper, isInteger: constraints.integersOnly,
            divisor: constraints.divisor
        ).nodes(&builder, next)
    }

    private mutating func string(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        guard constraints.hasStringConstraints else { return try json.call(.string, &builder, next) }
        if let maximum = constraints.maxLength, maximum < constraints.minLength { return builder.failure }
        let close = try builder.literal("\"", next)
        let patterns = try patterns(constraints)
        let hasLength = constraints.minLength > 0 || constraints.maxLength != nil
        let content: NodeID
        switch patterns.count {
        case 0:
            content = try builder.repeated(
                atLeast: constraints.minLength, atMost: constraints.maxLength, close,
                JSONRules.character)
        case 1 where !hasLength: content = try builder.pattern(patterns[0], .json, close)
        default:
            content = try builder.scalarAutomaton(strings(constraints, &builder), .json, close)
        }
        return try builder.literal("\"", content)
    }

    private func patterns(_ constraints: SchemaConstraints) throws(GrammarError) -> [Pattern] {
        var patterns: [Pattern] = []
        for text in constraints.patterns {
            patterns.append(try PatternParser.parse(text, finds: true, limits: reader.limits))
        }
        for name in constraints.formats {
            let text = StringFormat.expression(name) ?? ""
            patterns.append(try PatternParser.parse(text, finds: false, limits: reader.limits))
        }
        return patterns
    }

    /// The strings that constraints admit.
    func strings(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> ScalarAutomaton {
        guard constraints.types.contains(.string), !constraints.isFalse else {
            return try ScalarAutomaton(.nothing, &builder)
        }
        var result = try ScalarAutomaton.length(
            atLeast: constraints.minLength, atMost: constraints.maxLength, &builder)
        for pattern in try patterns(constraints) {
            result = try result.intersection(ScalarAutomaton(pattern, &builder), &builder)
        }
        if let values = constraints.values {
            let words = Pattern.alternation(values.compactMap(\.asString).map(Pattern.text))
            result = try result.intersection(ScalarAutomaton(words, &builder), &builder)
        }
        return result
    }
}

extension Value {
    /// Whether it names another schema that stands for its whole: as itself, or as one of those that all have to hold.
    fileprivate var refersDirectly: Bool {
        guard case .dictionary(let members) = self else { return false }
        if members["$ref"] != nil { return true }
        if case .list(let list)? = members["allOf"] { return list.elements.contains { $0.refersDirectly } }
        return false
    }
}
