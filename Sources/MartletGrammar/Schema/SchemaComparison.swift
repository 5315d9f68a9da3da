import MartletJinja

/// Finds out whether no value satisfies two schemas: then `oneOf` is as good as `anyOf`.
struct SchemaComparison {
    let reader: SchemaReader

    private static let deepest = 4

    /// - Parameter types: of the values in question.
    /// - Throws: `unsupported` where alternatives may overlap.
    mutating func checkDisjoint(
        _ alternatives: [Subschema], among types: Set<JSONType>, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) {
        var all: [SchemaConstraints] = []
        for alternative in alternatives {
            var constraints = try reader.constraints([alternative], &builder)
            constraints.types.formIntersection(types)
            all.append(constraints)
        }
        for second in all.indices {
            try builder.charge(second)
            for first in 0..<second where try !areDisjoint(all[first], all[second], depth: 0, &builder) {
                throw .unsupported(
                    "the schema at \(alternatives[second].path): 'oneOf' is supported where no two alternatives can both "
                        + "hold; \(first) and \(second) may; use 'anyOf'")
            }
        }
    }

    private func areDisjoint(
        _ a: SchemaConstraints, _ b: SchemaConstraints, depth: Int, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        if a.isFalse || b.isFalse { return true }
        let common = try types(a).intersection(types(b))
        if common.isEmpty { return true }
        if let left = a.values, let right = b.values { return try left.common(right, &builder).all.isEmpty }
        guard common.count == 1, depth < Self.deepest else { return false }
        switch common.first {
        case .object: return try areObjectsDisjoint(a, b, depth: depth, &builder)
        case .number:
            return Self.precedes(a.upper, b.lower) || Self.precedes(b.upper, a.lower)
        case .string:
            return a.maxLength.map { $0 < b.minLength } ?? false || b.maxLength.map { $0 < a.minLength } ?? false
        case .array:
            return a.maxItems.map { $0 < b.minItems } ?? false || b.maxItems.map { $0 < a.minItems } ?? false
        default: return false
        }
    }

    /// The types that a value can have.
    private func types(_ constraints: SchemaConstraints) throws(GrammarError) -> Set<JSONType> {
        guard let values = constraints.values else { return constraints.types }
        return constraints.types.intersection(values.all.compactMap(JSONType.init))
    }

    private static func precedes(_ upper: NumberBound?, _ lower: NumberBound?) -> Bool {
        guard let upper, let lower else { return false }
        return upper.value < lower.value || upper.value == lower.value && !(upper.isInclusive && lower.isInclusive)
    }

    private func areObjectsDisjoint(
        _ a: SchemaConstraints, _ b: SchemaConstraints, depth: Int, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Bool {
        for (left, right) in [(a, b), (b, a)] {
            // A member that one wants and the other forbids.
            for name in left.required {
                for part in right.members where part.additional?.value.isFalse == true {
                    if part.patterns.isEmpty, try part.schemas(of: name, &builder).isEmpty { return true }
                }
            }
        }
        // A member that both want, with values that differ: what tells the alternatives apart.
        for name in a.required where b.requires(name) {
            let (left, right) = try (Self.schemas(name, a, &builder), Self.schemas(name, b, &builder))
            guard !left.isEmpty, !right.isEmpty else { continue }
            let x = try reader.constraints(left, &builder)
            let y = try reader.constraints(right, &builder)
            if try areDisjoint(x, y, depth: depth + 1, &builder) { return true }
        }
        return false
    }

    private static func schemas(
        _ name: String, _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> [Subschema] {
        var schemas: [Subschema] = []
        for part in constraints.members { schemas += try part.schemas(of: name, &builder) }
        return schemas
    }
}
