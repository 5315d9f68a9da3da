/// What a line of the chat that starts with a slash asks for.
enum ChatCommand: Equatable {
    case help
    case bye
    case clear
    /// Nil shows the system prompt; an empty text removes it.
    case system(String?)
    case set(parameter: String, values: [String])
    case setVerbose(Bool)
    case show(Subject)
    /// Not understood; says what to type instead.
    case invalid(String)

    enum Subject: String, CaseIterable { case info, parameters, system, template }

    /// Nil for a line that is a message.
    init?(_ line: String) {
        guard line.first == "/" else { return nil }
        let words = line.split(whereSeparator: \.isWhitespace)
        let rest = line.dropFirst(words[0].count).drop(while: \.isWhitespace)
        switch words[0] {
        case "/?", "/help": self = .help
        case "/bye", "/exit", "/quit": self = .bye
        case "/clear": self = .clear
        case "/system": self = .system(rest.isEmpty ? nil : Self.unquoted(rest))
        case "/set": self = Self.set(words.dropFirst(), rest)
        case "/show":
            guard words.count > 1 else {
                self = .show(.info)
                break
            }
            self = Subject(rawValue: String(words[1])).map(Self.show) ?? .invalid("/show \(Self.subjects)")
        default: self = .invalid("unknown command '\(words[0])'; /help lists them")
        }
    }

    private static let subjects = Subject.allCases.map(\.rawValue).joined(separator: "|")

    private static func set(_ words: ArraySlice<Substring>, _ rest: Substring) -> ChatCommand {
        switch words.first {
        case "parameter":
            guard let values = quotedWords(rest.dropFirst("parameter".count)) else {
                return .invalid("a quote is not closed")
            }
            guard let name = values.first, values.count > 1 else { break }
            return .set(parameter: name, values: Array(values.dropFirst()))
        case "system":
            let text = rest.dropFirst("system".count).drop(while: \.isWhitespace)
            guard !text.isEmpty else { break }
            return .system(unquoted(text))
        case "verbose": return .setVerbose(true)
        case "quiet": return .setVerbose(false)
        default: break
        }
        return .invalid("/set parameter NAME VALUE, /set system TEXT, /set verbose or /set quiet")
    }

    /// The words of a text; those that begin with a quote end with one, and may hold spaces, \", \\ and \n.
    ///
    /// - Returns: nil where a quote is not closed, or something sticks to it.
    private static func quotedWords(_ text: Substring) -> [String]? {
        var words: [String] = []
        var rest = text.drop(while: \.isWhitespace)
        while let first = rest.first {
            if first == "\"" {
                rest.removeFirst()
                guard let word = endOfQuote(&rest), rest.first?.isWhitespace ?? true else { return nil }
                words.append(word)
            } else {
                words.append(String(rest.prefix { !$0.isWhitespace }))
                rest = rest.drop { !$0.isWhitespace }
            }
            rest = rest.drop(while: \.isWhitespace)
        }
        return words
    }

    /// Takes everything up to the quote that closes this one; nil where none does.
    private static func endOfQuote(_ rest: inout Substring) -> String? {
        var word = ""
        while let character = rest.popFirst() {
            switch character {
            case "\"": return word
            case "\\":
                guard let escaped = rest.popFirst() else { return nil }
                switch escaped {
                case "n": word.append("\n")
                case "\"", "\\": word.append(escaped)
                default: word += "\\\(escaped)"
                }
            default: word.append(character)
            }
        }
        return nil
    }

    private static func unquoted(_ text: Substring) -> String {
        var text = text
        while text.last?.isWhitespace == true { text.removeLast() }
        guard text.count >= 2, text.first == "\"", text.last == "\"" else { return String(text) }
        return String(text.dropFirst().dropLast())
    }

    static let helpText = """
        /system TEXT                  sets the system prompt ("" removes it); alone, shows it
        /set parameter NAME VALUE     \(ChatParameter.names.prefix(5).joined(separator: ", ")),
                                      \(ChatParameter.names[5..<8].joined(separator: ", ")),
                                      \(ChatParameter.names[8...].joined(separator: ", "))
                                      "…" holds spaces, and \\n, \\" and \\\\ in it a line's end, a quote and a backslash
        /set verbose, /set quiet      timings after each answer, or none
        /show [info|parameters|system|template]
        /clear                        forgets the conversation
        /bye                          leaves, as Ctrl-D does
        \"\"\"                           begins and ends a message of several lines
        Ctrl-C                        stops the answer, or clears the line

        """
}
