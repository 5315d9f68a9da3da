import MartletTokenizers

/// Token ids as people write them: a JSON array, or numbers with commas or spaces between them.
enum TokenList {
    /// - Throws: `CommandFailure` that names the first entry that is not a token id.
    static func parse(_ text: String) throws -> [TokenID] {
        var body = Substring(text.trimmingPrefix(while: \.isWhitespace))
        while body.last?.isWhitespace == true { body.removeLast() }
        if body.first == "[" {
            guard body.last == "]", body.count >= 2 else { throw CommandFailure("the list of tokens has no ']'") }
            body = body.dropFirst().dropLast()
        }
        return try body.split { $0 == "," || $0.isWhitespace }.map { entry in
            guard let id = TokenID(entry), id >= 0 else {
                throw CommandFailure("'\(entry.prefix(40))' is not a token id")
            }
            return id
        }
    }

    /// - Throws: `CommandFailure` for the first id that the model does not have.
    static func check(_ tokens: [TokenID], vocabularySize: Int) throws {
        guard let index = tokens.firstIndex(where: { Int($0) >= vocabularySize }) else { return }
        throw CommandFailure("token \(tokens[index]) at index \(index) is not below \(vocabularySize)")
    }
}
