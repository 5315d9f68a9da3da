/// The state of a line that is being edited: pure, so that every key can be tested without a terminal.
struct LineEditor {
    enum Outcome: Equatable {
        case editing
        /// Enter: the line is done.
        case submitted(String)
        /// Ctrl-C: the line is thrown away.
        case interrupted(wasEmpty: Bool)
        /// Ctrl-D on an empty line.
        case endOfInput
        /// Ctrl-L: the line stays.
        case clearScreen
    }

    private(set) var characters: [Character] = []
    /// Index into `characters` of the one that the cursor stands on.
    private(set) var cursor = 0
    private let history: [String]
    /// The history's entry that is shown; `history.count` is the new line.
    private var historyIndex: Int
    /// The new line, while an older one is shown.
    private var draft = ""

    init(history: [String] = []) {
        self.history = history
        historyIndex = history.count
    }

    var text: String { String(characters) }

    mutating func handle(_ key: Key) -> Outcome {
        switch key {
        case .text(let text), .paste(let text): insert(text)
        case .tab: insert("\t")
        case .enter: return .submitted(text)
        case .interrupt: return .interrupted(wasEmpty: characters.isEmpty)
        case .endOfInput:
            if characters.isEmpty { return .endOfInput }
            remove(cursor..<min(cursor + 1, characters.count))
        case .clearScreen: return .clearScreen
        case .backspace: remove(max(cursor - 1, 0)..<cursor)
        case .delete: remove(cursor..<min(cursor + 1, characters.count))
        case .left: cursor = max(cursor - 1, 0)
        case .right: cursor = min(cursor + 1, characters.count)
        case .wordLeft: cursor = wordStart
        case .wordRight: cursor = wordEnd
        case .home: cursor = lineStart
        case .end: cursor = lineEnd
        case .killToEnd: remove(cursor..<lineEnd)
        case .killToStart: remove(lineStart..<cursor)
        case .killWord: remove(wordStart..<cursor)
        case .up: showHistory(historyIndex - 1)
        case .down: showHistory(historyIndex + 1)
        }
        return .editing
    }

    private mutating func insert(_ text: String) {
        // Through String, so that a combining mark joins the character before it.
        let left = Array(String(characters[..<cursor]) + text)
        let right = characters[cursor...]
        characters = left + right
        cursor = left.count
    }

    private mutating func remove(_ range: Range<Int>) {
        characters.removeSubrange(range)
        cursor = range.lowerBound
    }

    /// Pasted text may have several lines: home, end and the kill keys act on the cursor's.
    private var lineStart: Int { characters[..<cursor].lastIndex(of: "\n").map { $0 + 1 } ?? 0 }

    private var lineEnd: Int { characters[cursor...].firstIndex(of: "\n") ?? characters.count }

    private var wordStart: Int {
        var index = cursor
        while index > 0, characters[index - 1].isWhitespace { index -= 1 }
        while index > 0, !characters[index - 1].isWhitespace { index -= 1 }
        return index
    }

    private var wordEnd: Int {
        var index = cursor
        while index < characters.count, characters[index].isWhitespace { index += 1 }
        while index < characters.count, !characters[index].isWhitespace { index += 1 }
        return index
    }

    private mutating func showHistory(_ index: Int) {
        guard (0...history.count).contains(index), index != historyIndex else { return }
        if historyIndex == history.count { draft = text }
        historyIndex = index
        characters = Array(index == history.count ? draft : history[index])
        cursor = characters.count
    }
}
