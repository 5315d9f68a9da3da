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
    private var rules: [ExactString: Int] = [:]
    var validator: ValueValidator
    private var depth = 0
    private var alternatives = 0

    init(_ root: Value, limits: GrammarLimits) {
        reader = SchemaReader(root: root, limits: limits)
        validator = ValueValidator(reader)
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
        var seen: Set<ExactString> = []
        var distinct: [Subschema] = []
        for schema in schemas {
            let text = try text(schema, &builder)
            guard seen.insert(ExactString(text)).inserted else { continue }
            distinct.append(schema)
            key += text + "\n"
        }
        return try rule(key, &builder, next) { (compiler, builder) throws(GrammarError) in
            try compiler.value(compiler.reader.constraints(distinct, &builder), &builder, builder.end)
        }
    }

    /// What a schema says: equal texts mean the same.
    private func text(_ schema: Subschema, _ builder: inout AutomatonBuilder) throws(GrammarError) -> String {
        if schema.path == "#" { return "#" }
        if let reference = schema.reference { return JSONText.string(reference) }
        return try JSONText.text(schema.value, &builder)
    }

    /// Goes through the rule of that key, which is made when it is first asked for: a schema may contain itself.
    private mutating func rule(
        _ key: String, _ builder: inout AutomatonBuilder, _ next: NodeID,
        _ body: (inout SchemaCompiler, inout AutomatonBuilder) throws(GrammarError) -> NodeID
    ) throws(GrammarError) -> NodeID {
        if let rule = rules[ExactString(key)] { return try builder.call(rule, next) }
        let rule = builder.declareRule()
        rules[ExactString(key)] = rule
        try builder.define(rule, body(&self, &builder))
        return try builder.call(rule, next)
    }

    private mutating func value(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        if constraints.isFalse { return builder.failure }
        if let values = constraints.values { return try enumeration(values, constraints, &builder, next) }
        if !constraints.groups.isEmpty { return try alternatives(constraints, &builder, next) }
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
        let (alternatives, rest) = try firstGroup(of: constraints, &builder)
        let isAlone =
            rest.groups.isEmpty && rest.isOnlyTypes && !rest.integersOnly
            && rest.types.count == JSONType.allCases.count
        var key = ""
        if !isAlone, alternatives.contains(where: { $0.value.refersDirectly }) {
            for schema in constraints.schemas { key += try text(schema, &builder) + "\n" }
            // JSON texts have no tabs.
            for schema in constraints.chosen { key += try "\t" + text(schema, &builder) }
        }
        var targets: [NodeID] = []
        for alternative in alternatives {
            if isAlone {
                targets.append(try value([alternative], &builder, next))
                continue
            }
            var all = rest
            all.chosen.append(alternative)
            try reader.gather(alternative, into: &all, &builder)
            if alternative.value.refersDirectly {
                // Together with the rest it may contain itself.
                let own = try key + "\t" + text(alternative, &builder)
                targets.append(
                    try rule(own, &builder, next) { (compiler, builder) throws(GrammarError) in
                        try compiler.value(all, &builder, builder.end)
                    })
            } else {
                targets.append(try value(all, &builder, next))
            }
        }
        return try builder.choice(targets)
    }

    /// Takes the first `anyOf` or `oneOf` out.
    private mutating func firstGroup(
        of constraints: SchemaConstraints, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> (alternatives: [Subschema], rest: SchemaConstraints) {
        var rest = constraints
        let group = rest.groups.removeFirst()
        if group.isExclusive {
            var comparison = SchemaComparison(reader: reader)
            try comparison.checkDisjoint(group.alternatives, among: constraints.types, &builder)
        }
        alternatives += group.alternatives.count
        guard alternatives <= reader.limits.alternatives else {
            throw .tooComplex("the schema's alternatives multiply to more than \(reader.limits.alternatives)")
        }
        return (group.alternatives, rest)
    }

    private mutating func enumeration(
        _ values: SchemaConstraints.Values, _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder,
        _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        var words: [[UInt8]] = []
        for value in try admitted(values, constraints, &builder) {
            words.append(Array(try JSONText.text(value, &builder).utf8))
        }
        return words.isEmpty ? builder.failure : try builder.words(words, next)
    }

    /// Those values that satisfy all else that is said.
    private mutating func admitted(
        _ values: SchemaConstraints.Values, _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> [Value] {
        var others = constraints
        others.values = nil
        var admitted: [Value] = []
        for value in values.all where try validator.admits(value, others, certainly: true, &builder) {
            admitted.append(value)
        }
        return admitted
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
    mutating func strings(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> ScalarAutomaton {
        depth += 1
        defer { depth -= 1 }
        guard depth <= reader.limits.depth else { throw .tooComplex("the schema is nested too deeply") }
        guard constraints.types.contains(.string), !constraints.isFalse else {
            return try ScalarAutomaton(.nothing, &builder)
        }
        if let values = constraints.values {
            let texts = try admitted(values, constraints, &builder).compactMap(\.asString)
            return try ScalarAutomaton(.alternation(texts.map(Pattern.text)), &builder)
        }
        guard constraints.groups.isEmpty else {
            var strings = constraints
            strings.types = [.string]
            let (alternatives, rest) = try firstGroup(of: strings, &builder)
            var result = try ScalarAutomaton(.nothing, &builder)
            for alternative in alternatives {
                var all = rest
                try reader.gather(alternative, into: &all, &builder)
                result = try result.union(self.strings(all, &builder), &builder)
            }
            return result
        }
        var result = try ScalarAutomaton.length(
            atLeast: constraints.minLength, atMost: constraints.maxLength, &builder)
        for pattern in try patterns(constraints) {
            result = try result.intersection(ScalarAutomaton(pattern, &builder), &builder)
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
