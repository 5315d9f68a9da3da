/// Finds where a text has been before: prompt lookup decoding (Saxena 2023), for a text that grows.
///
/// Every new token costs a constant number of look-ups, and 12 to 36 bytes of memory.
struct NGramIndex: Sendable {
    /// A place whose tokens may come again.
    struct Match: Sendable, Hashable {
        /// The position of the token that came next.
        var next: Int
        /// How many tokens before it agree with the text's last ones, at least; counted up to `longestMatch`.
        var length: Int
    }

    /// N-grams of one token up to this many are looked up.
    static let longestNGram = 3
    static let longestMatch = 16

    private(set) var tokens: [Int32] = []
    /// Where the text's end occurred before: the longest match known, and of equals the latest.
    private(set) var match: Match?
    private var tables: [NGramTable]

    init(_ tokens: [Int32] = []) {
        let seed = UInt64.random(in: .min ... .max)
        tables = (1...Self.longestNGram).map { NGramTable(length: $0, seed: seed) }
        for token in tokens { append(token) }
    }

    mutating func append(_ token: Int32) {
        let position = tokens.count
        tokens.append(token)
        // A match that goes on is longer than what an n-gram can tell.
        var best: Match?
        if let match, tokens[match.next] == token {
            best = Match(next: match.next + 1, length: min(match.length + 1, Self.longestMatch))
        }
        var latest: Int?
        for index in tables.indices where index <= position {
            // The longest n-gram that is not new counts.
            latest = tables[index].insert(endingAt: position, of: tokens) ?? latest
        }
        if let latest {
            let length = matchLength(latest, position)
            if length >= best?.length ?? 0 { best = Match(next: latest + 1, length: length) }
        }
        match = best
    }

    /// The token `offset` places behind the end, if the match goes on: beyond the text's end it repeats itself.
    func guess(_ offset: Int) -> Int32? {
        guard let match else { return nil }
        return tokens[match.next + offset % (tokens.count - match.next)]
    }

    private func matchLength(_ a: Int, _ b: Int) -> Int {
        var length = 0
        while length < Self.longestMatch, length <= a, tokens[a - length] == tokens[b - length] { length += 1 }
        return length
    }
}
