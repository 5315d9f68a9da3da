import MartletTokenizers

extension SchemaCompiler {
    // MARK: Arrays

    mutating func array(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        let elements = constraints.elements
        if elements.isEmpty, constraints.minItems == 0, constraints.maxItems == nil {
            return try json.call(.array, &builder, next)
        }
        let prefixCount = elements.map(\.prefix.count).max() ?? 0
        /// What an element has to satisfy.
        func schemas(_ index: Int) -> [Subschema] {
            elements.map { index < $0.prefix.count ? $0.prefix[index] : $0.rest ?? .anything }
        }
        let rest = schemas(prefixCount)
        let saysRest = elements.contains { $0.rest != nil } || prefixCount == 0 || constraints.minItems > prefixCount
        var most = constraints.maxItems
        // Elements that no keyword describes may be anything, but need not be there.
        if !saysRest || rest.contains(where: { $0.value.isFalse }) { most = min(most ?? .max, prefixCount) }
        let least = constraints.minItems
        if let most, most < least { return builder.failure }

        let close = try builder.literal("]", next)
        let spacedClose = try json.space(&builder, close)
        // From the last element to the first: `tail` is where the elements so far have ended.
        var tail = spacedClose
        if most.map({ $0 > prefixCount }) ?? true {
            if least <= prefixCount + 1, most == nil {
                // One element that leads back to itself.
                let loop = try builder.placeholder()
                let element = try value(rest, &builder, loop)
                let more = try builder.literal(",", json.space(&builder, element))
                builder.fill(loop, [spacedClose, more])
                if prefixCount == 0 {
                    return try builder.literal(
                        "[", json.space(&builder, builder.choice(least == 0 ? [element, close] : [element])))
                }
                tail = least > prefixCount ? more : loop
            } else {
                let rule = builder.declareRule()
                try builder.define(rule, value(rest, &builder, builder.end))
                let done = max(prefixCount, 1)
                var compiler = self
                tail = try builder.repeated(
                    atLeast: max(0, least - done), atMost: most.map { $0 - done }, spacedClose
                ) { (builder, next) throws(GrammarError) in
                    try builder.literal(",", compiler.json.space(&builder, builder.call(rule, next)))
                }
                if prefixCount == 0 {
                    let first = try builder.call(rule, tail)
                    return try builder.literal(
                        "[", json.space(&builder, builder.choice(least == 0 ? [first, close] : [first])))
                }
            }
        }
        for index in (0..<min(prefixCount, most ?? .max)).reversed() {
            // Behind element `index`, with `index + 1` elements there.
            let end = index + 1 < least ? tail : try builder.choice([tail, spacedClose])
            let element = try value(schemas(index), &builder, end)
            tail = index == 0 ? element : try builder.literal(",", json.space(&builder, element))
        }
        if prefixCount == 0 || most == 0 { return least == 0 ? try builder.literal("[", spacedClose) : builder.failure }
        return try builder.literal("[", json.space(&builder, builder.choice(least == 0 ? [tail, close] : [tail])))
    }

    // MARK: Objects

    /// A member whose name the schema does not list.
    private struct Extra {
        /// Nil for any name.
        var names: ScalarAutomaton?
        var schemas: [Subschema]
    }

    mutating func object(
        _ constraints: SchemaConstraints, _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        let members = constraints.members
        if members.isEmpty, constraints.required.isEmpty, constraints.names.isEmpty, constraints.maxProperties == nil,
            constraints.minProperties == 0
        {
            return try json.call(.object, &builder, next)
        }
        var names = members.flatMap { $0.properties.map(\.name) }
        names += constraints.required
        var seen: Set<ExactString> = []
        names = names.filter { seen.insert(ExactString($0)).inserted }
        if !constraints.names.isEmpty {
            let admitted = try strings(reader.constraints(constraints.names, &builder), &builder)
            if !constraints.required.allSatisfy(admitted.accepts) { return builder.failure }
            names.removeAll { !admitted.accepts($0) }
        }
        var listed: [(name: String, schemas: [Subschema], isRequired: Bool)] = []
        for name in names {
            listed.append((name, try validator.schemas(of: name, members, &builder), constraints.requires(name)))
        }
        // What can't be there is left out; where it has to be, nothing satisfies the schema.
        if listed.contains(where: { $0.isRequired && $0.schemas.contains { $0.value.isFalse } }) {
            return builder.failure
        }
        listed.removeAll { $0.schemas.contains { $0.value.isFalse } }
        var extras = try self.extras(constraints, names, &builder)
        let requiredCount = listed.count { $0.isRequired }
        var mostExtras: Int?
        if let most = constraints.maxProperties {
            if most < requiredCount { return builder.failure }
            while listed.count > most, let index = listed.lastIndex(where: { !$0.isRequired }) {
                listed.remove(at: index)
            }
            mostExtras = most - listed.count
            if mostExtras == 0 { extras = [] }
        }
        if constraints.minProperties > requiredCount {
            // The names of other members may be equal to each other, so only these count.
            guard listed.count >= constraints.minProperties else {
                if extras.isEmpty { return builder.failure }
                throw .unsupported("'minProperties' for members that 'properties' does not list is not supported")
            }
            var missing = constraints.minProperties - requiredCount
            for index in listed.indices where missing > 0 && !listed[index].isRequired {
                listed[index].isRequired = true
                missing -= 1
            }
        }
        return try object(listed, extras, mostExtras: mostExtras, &builder, next)
    }

    private mutating func object(
        _ listed: [(name: String, schemas: [Subschema], isRequired: Bool)], _ extras: [Extra], mostExtras: Int?,
        _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        let close = try builder.literal("}", next)
        let spacedClose = try json.space(&builder, close)
        /// Where members go on when some are there, and where they begin.
        var (more, first) = (spacedClose, close)
        if !extras.isEmpty {
            if let mostExtras {
                let rule = builder.declareRule()
                try builder.define(rule, extra(extras, &builder, builder.end))
                var compiler = self
                func counted(_ count: Int) throws(GrammarError) -> NodeID {
                    try builder.repeated(atLeast: 0, atMost: count, spacedClose) {
                        (builder, next) throws(GrammarError) in
                        try builder.literal(",", compiler.json.space(&builder, builder.call(rule, next)))
                    }
                }
                more = try counted(mostExtras)
                first = try builder.choice([close, builder.call(rule, counted(mostExtras - 1))])
            } else {
                let loop = try builder.placeholder()
                let member = try extra(extras, &builder, loop)
                builder.fill(loop, [spacedClose, try builder.literal(",", json.space(&builder, member))])
                (more, first) = (loop, try builder.choice([close, member]))
            }
        }
        for member in listed.reversed() {
            let value = try value(member.schemas, &builder, more)
            let node = try builder.literal(
                JSONText.string(member.name) + ":", json.space(&builder, value))
            let next = try builder.literal(",", json.space(&builder, node))
            more = member.isRequired ? next : try builder.choice([next, more])
            first = member.isRequired ? node : try builder.choice([node, first])
            if node == builder.failure {
                // Its value can't be: then neither can the member.
                guard !member.isRequired else { return builder.failure }
            }
        }
        return try builder.literal("{", json.space(&builder, first))
    }

    private mutating func extra(
        _ extras: [Extra], _ builder: inout AutomatonBuilder, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        var targets: [NodeID] = []
        for extra in extras {
            let value = try builder.literal(":", json.space(&builder, value(extra.schemas, &builder, next)))
            if let names = extra.names {
                let name = try builder.scalarAutomaton(names, .json, builder.literal("\"", value))
                targets.append(try builder.literal("\"", name))
            } else {
                targets.append(try json.call(.string, &builder, value))
            }
        }
        return try builder.choice(targets)
    }

    private func automaton(
        _ expression: String, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> ScalarAutomaton {
        try ScalarAutomaton(
            PatternParser.parse(expression, finds: true, limits: reader.limits), &builder)
    }

    /// The kinds of members that are not listed.
    private mutating func extras(
        _ constraints: SchemaConstraints, _ names: [String], _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> [Extra] {
        let members = constraints.members
        let asksForMore =
            members.contains { $0.additional != nil }
            || members.allSatisfy { $0.properties.isEmpty && $0.patterns.isEmpty }
        let isClosed = members.contains { $0.additional?.value.isFalse == true }
        // The automaton that tells other names from the listed ones is large: only where something needs it.
        guard members.contains(where: { !$0.patterns.isEmpty }) || (asksForMore && !isClosed) else { return [] }
        var names: ScalarAutomaton? =
            try names.isEmpty
            ? nil
            : ScalarAutomaton(.alternation(names.map(Pattern.text)), &builder).inverted(&builder)
        if !constraints.names.isEmpty {
            let admitted = try strings(reader.constraints(constraints.names, &builder), &builder)
            names = try names?.intersection(admitted, &builder) ?? admitted
        }
        var patterns: [(owner: Int, automaton: ScalarAutomaton, schema: Subschema)] = []
        for (owner, part) in members.enumerated() {
            for (expression, schema) in part.patterns {
                patterns.append((owner, try automaton(expression, &builder), schema))
            }
        }
        var extras: [Extra] = []
        func add(_ names: ScalarAutomaton?, _ schemas: [Subschema]) {
            if !schemas.contains(where: { $0.value.isFalse }) { extras.append(Extra(names: names, schemas: schemas)) }
        }
        // Names that exactly one pattern matches: those of several would be known only in the end.
        for (index, pattern) in patterns.enumerated() {
            var matching = try names?.intersection(pattern.automaton, &builder) ?? pattern.automaton
            for (other, otherPattern) in patterns.enumerated() where other != index {
                matching = try matching.intersection(otherPattern.automaton.inverted(&builder), &builder)
            }
            var schemas = [pattern.schema]
            for (owner, part) in members.enumerated() where owner != pattern.owner {
                if let additional = part.additional { schemas.append(additional) }
            }
            add(matching, schemas)
        }
        if asksForMore {
            for pattern in patterns {
                let others = try pattern.automaton.inverted(&builder)
                names = try names?.intersection(others, &builder) ?? others
            }
            add(names, members.compactMap(\.additional))
        }
        return extras
    }
}
