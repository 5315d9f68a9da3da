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
            let values = words.dropFirst(2).map { unquoted($0) }
            guard let name = words.dropFirst().first, !values.isEmpty else { break }
            return .set(parameter: String(name), values: values)
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
        /set verbose, /set quiet      timings after each answer, or none
        /show [info|parameters|system|template]
        /clear                        forgets the conversation
        /bye                          leaves, as Ctrl-D does
        \"\"\"                           begins and ends a message of several lines
        Ctrl-C                        stops the answer, or clears the line

        """
}
