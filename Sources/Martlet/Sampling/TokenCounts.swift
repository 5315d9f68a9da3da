/// Which tokens a request has so far, and how often it generated each: what penalties are computed from.
///
/// As long as the list of *different* tokens; applying penalties walks that, never the vocabulary.
package struct TokenCounts: Sendable {
    package struct Entry: Sendable, Hashable {
        package var token: Int32
        /// How often it was generated; 0 when only the prompt has it.
        package var generated: Int32
    }

    package private(set) var entries: [Entry] = []
    private var places: [Int32: Int] = [:]

    package init(prompt: some Sequence<Int32>) {
        for token in prompt { count(token, by: 0) }
    }

    package mutating func record(_ token: Int32) {
        count(token, by: 1)
    }

    private mutating func count(_ token: Int32, by increment: Int32) {
        if let place = places[token] {
            entries[place].generated += increment
        } else {
            places[token] = entries.count
            entries.append(Entry(token: token, generated: increment))
        }
    }
}
