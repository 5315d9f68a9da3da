import MartletJinja
import MartletTokenizers

extension Grammar {
    /// Compiles a structure for a vocabulary.
    ///
    /// - Throws: `GrammarError`, within the limits' time.
    package convenience init(
        _ structure: OutputStructure, _ trie: TokenTrie, limits: GrammarLimits = .init()
    ) throws(GrammarError) {
        var builder = AutomatonBuilder(limits: limits)
        var compiler = StructureCompiler(limits: limits)
        let start = try compiler.nodes(structure, &builder, builder.end)
        try self.init(builder.automaton(start: start), trie, limits: limits)
    }
}

/// Turns structures into nodes.
private struct StructureCompiler {
    let limits: GrammarLimits
    private var json = JSONRules()
    private var depth = 0

    init(limits: GrammarLimits) { self.limits = limits }

    mutating func nodes(
        _ structure: OutputStructure, _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else { throw .tooComplex("it is nested too deeply") }
        switch structure {
        case .json: return try json.call(.object, &builder, next)
        case .jsonSchema(let text):
            guard text.utf8.count <= limits.sourceBytes else {
                throw .tooComplex("the schema has more than \(limits.sourceBytes) bytes")
            }
            let schema: Value
            do {
                schema = try Value(json: text)
            } catch {
                throw .malformed("the schema is no JSON: \(error.message)")
            }
            var compiler = SchemaCompiler(schema, limits: limits)
            return try compiler.compile(&builder, next)
        case .regex(let text):
            return try builder.pattern(PatternParser.parse(text, finds: false, limits: limits), .plain, next)
        case .choice(let texts):
            guard !texts.isEmpty else { throw .malformed("there is nothing to choose from") }
            guard !texts.contains("") else { throw .malformed("a choice must not be empty") }
            guard texts.reduce(0, { $0 + $1.utf8.count }) <= limits.sourceBytes else {
                throw .tooComplex("the choices have more than \(limits.sourceBytes) bytes")
            }
            return try builder.words(texts.map { Array($0.utf8) }, next)
        case .grammar(let text):
            var parser = try GrammarParser(text, limits: limits)
            return try parser.nodes(&builder, next)
        case .textWithout(let text):
            let pattern = Pattern.sequence([.anything, .text(text), .anything])
            return try builder.scalarAutomaton(
                ScalarAutomaton(pattern, &builder).inverted(&builder), .plain, next)
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try nodes(part, &builder, next) }
            return next
        case .anyOf(let parts):
            var targets: [AutomatonBuilder.NodeID] = []
            for part in parts { targets.append(try nodes(part, &builder, next)) }
            return try builder.choice(targets)
        case .list(let part, let separator, let atLeast, let atMost):
            let rule = builder.declareRule()
            try builder.define(rule, nodes(part, &builder, builder.end))
            if atMost == 0 { return atLeast == 0 ? next : builder.failure }
            let rest = try builder.repeated(
                atLeast: max(0, atLeast - 1), atMost: atMost.map { $0 - 1 }, next
            ) { (builder, next) throws(GrammarError) in
                try builder.literal(separator, builder.call(rule, next))
            }
            let first = try builder.call(rule, rest)
            return atLeast > 0 ? first : try builder.choice([first, next])
        }
    }
}
