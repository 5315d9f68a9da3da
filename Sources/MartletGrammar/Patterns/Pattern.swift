import MartletTokenizers

/// The syntax tree of a regular expression over Unicode scalars, without what does not consume.
indirect enum Pattern: Sendable {
    case empty
    case set(ScalarSet)
    case sequence([Pattern])
    case alternation([Pattern])
    case repetition(Pattern, atLeast: Int, atMost: Int?)

    static let anything = Pattern.repetition(.set(.all), atLeast: 0, atMost: nil)
    static let nothing = Pattern.alternation([])

    static func text(_ text: String) -> Pattern { .sequence(text.unicodeScalars.map { .set(ScalarSet($0)) }) }
}

extension AutomatonBuilder {
    mutating func pattern(
        _ pattern: Pattern, _ spelling: Spelling, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        try charge()
        switch pattern {
        case .empty: return next
        case .set(let set): return try scalars(set, spelling, next)
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try self.pattern(part, spelling, next) }
            return next
        case .alternation(let parts):
            var targets: [NodeID] = []
            for part in parts { targets.append(try self.pattern(part, spelling, next)) }
            return try choice(targets)
        case .repetition(let part, let atLeast, let atMost):
            return try repeated(atLeast: atLeast, atMost: atMost, next) { (builder, next) throws(GrammarError) in
                try builder.pattern(part, spelling, next)
            }
        }
    }
}
