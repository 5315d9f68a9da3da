/// Finds stop strings in text that comes in parts, in one pass and constant time per byte and string (Knuth, Morris and
/// Pratt 1977).
///
/// The result does not depend on how the text is cut into parts: the match that is complete first wins, and of several
/// that end at the same byte the longest. Strings are compared as UTF-8, byte by byte.
package struct StopStringMatcher: Sendable {
    private struct Pattern: Sendable {
        let bytes: [UInt8]
        /// For every length of a match: the longest shorter one that ends at the same byte.
        let fallbacks: [Int]
        /// How many of its bytes the text ends with.
        var matched = 0

        init(_ string: String) {
            bytes = Array(string.utf8)
            var fallbacks = [0, 0]
            var length = 0
            for index in bytes.indices.dropFirst() {
                while length > 0, bytes[length] != bytes[index] { length = fallbacks[length] }
                if bytes[length] == bytes[index] { length += 1 }
                fallbacks.append(length)
            }
            self.fallbacks = fallbacks
        }

        /// How many bytes at the text's end may still become a match. A complete one that did not count won't.
        var undecided: Int { matched == bytes.count ? fallbacks[matched] : matched }

        /// Whether the text ends with the pattern now.
        mutating func advance(_ byte: UInt8) -> Bool {
            if matched == bytes.count { matched = fallbacks[matched] }
            while matched > 0, bytes[matched] != byte { matched = fallbacks[matched] }
            if bytes[matched] == byte { matched += 1 }
            return matched == bytes.count
        }
    }

    private var patterns: [Pattern]
    private let keepsMatch: Bool
    /// Text that a stop string may begin with.
    private var held: [UInt8] = []
    /// The stop string that ended the text.
    package private(set) var match: String?

    /// - Parameters:
    ///   - strings: none of them empty.
    ///   - keepsMatch: whether the stop string itself is part of the text.
    package init(_ strings: [String], keepsMatch: Bool) {
        patterns = strings.map(Pattern.init)
        self.keepsMatch = keepsMatch
    }

    package var isFinished: Bool { match != nil }

    /// Takes more text. Nothing comes after a stop string.
    ///
    /// - Parameter counts: whether a stop string that is complete within this text ends it.
    /// - Returns: the text that is certain not to belong to a stop string.
    package mutating func append(_ text: String, counts: Bool = true) -> String {
        guard !isFinished else { return "" }
        guard !patterns.isEmpty else { return text }
        for byte in text.utf8 {
            held.append(byte)
            var longest: [UInt8] = []
            for index in patterns.indices
            where patterns[index].advance(byte) && patterns[index].bytes.count > longest.count {
                longest = patterns[index].bytes
            }
            if !longest.isEmpty && counts {
                match = String(decoding: longest, as: UTF8.self)
                if !keepsMatch { held.removeLast(longest.count) }
                return flush()
            }
        }
        // Both ends of what is certain are borders of characters: the text's, and the first byte of a stop string's.
        let certain = held.count - (patterns.lazy.map(\.undecided).max() ?? 0)
        defer { held.removeFirst(certain) }
        return String(decoding: held[..<certain], as: UTF8.self)
    }

    /// What was held back, when no more text comes.
    package mutating func flush() -> String {
        defer { held.removeAll() }
        return String(decoding: held, as: UTF8.self)
    }
}
