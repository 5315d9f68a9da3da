import Foundation

/// Reads edited lines from the terminal.
final class LineReader {
    private let mode: TerminalMode
    private var decoder = KeyDecoder()
    /// Keys that came behind the last line's end.
    private var waiting: [Key] = []
    /// Rows that the cursor is below the first one drawn.
    private var cursorRow = 0

    init(_ mode: TerminalMode) { self.mode = mode }

    enum Result: Equatable {
        case line(String)
        case interrupted(wasEmpty: Bool)
        case endOfInput
    }

    /// - Parameter placeholder: shown faintly while nothing is typed.
    func readLine(
        prompt: String, continuation: String, placeholder: String = "", history: [String]
    ) throws -> Result {
        mode.setRaw()
        try StandardStream.output.write("\u{1B}[?2004h")  // bracketed paste
        defer {
            try? StandardStream.output.write("\u{1B}[?2004l")
            mode.setQuiet()
        }
        var editor = LineEditor(history: history)
        cursorRow = 0
        func redraw() throws {
            let layout = LineLayout(
                prompt: prompt, continuation: continuation, characters: editor.characters, cursor: editor.cursor,
                width: Terminal.width(of: STDOUT_FILENO)
            ).visible(height: Terminal.height(of: STDOUT_FILENO))
            try draw(layout, placeholder: editor.characters.isEmpty ? placeholder : "")
        }
        try redraw()
        while true {
            guard let key = try nextKey() else { return .endOfInput }
            let outcome = editor.handle(key)
            switch outcome {
            case .editing: break
            case .clearScreen:
                try StandardStream.output.write("\u{1B}[H\u{1B}[2J")
                cursorRow = 0
            case .submitted, .interrupted, .endOfInput:
                // The whole line, without placeholder, and the cursor behind it.
                let layout = LineLayout(
                    prompt: prompt, continuation: continuation, characters: editor.characters,
                    cursor: editor.characters.count, width: Terminal.width(of: STDOUT_FILENO)
                ).visible(height: Terminal.height(of: STDOUT_FILENO))
                try draw(layout, placeholder: "")
                try StandardStream.output.write("\r\n")
            }
            switch outcome {
            case .editing, .clearScreen: if waiting.isEmpty { try redraw() }
            case .submitted(let line): return .line(line)
            case .interrupted(let wasEmpty): return .interrupted(wasEmpty: wasEmpty)
            case .endOfInput: return .endOfInput
            }
        }
    }

    private func draw(_ layout: LineLayout, placeholder: String) throws {
        var output = "\r"
        if cursorRow > 0 { output += "\u{1B}[\(cursorRow)A" }
        output += "\u{1B}[J" + layout.rows.joined(separator: "\r\n")
        let room = Terminal.width(of: STDOUT_FILENO) - layout.cursorColumn - 1
        if !placeholder.isEmpty, placeholder.displayWidth <= room {
            output += Terminal.styled(placeholder, .faint)
        }
        let below = layout.rows.count - 1 - layout.cursorRow
        if below > 0 { output += "\u{1B}[\(below)A" }
        output += "\r"
        if layout.cursorColumn > 0 { output += "\u{1B}[\(layout.cursorColumn)C" }
        cursorRow = layout.cursorRow
        try StandardStream.output.write(output)
    }

    /// The next key; nil at the end of the input (the terminal is gone).
    private func nextKey() throws -> Key? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while waiting.isEmpty {
            var descriptor = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            // Sequences come at once: half of one, and then nothing for this long, is a lone escape key.
            let ready = poll(&descriptor, 1, decoder.isIncomplete ? 50 : -1)
            if ready == 0 { decoder.flush() }
            if ready < 0 && errno != EINTR { return nil }
            guard ready > 0 else { continue }
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard count > 0 else { return nil }
            waiting = decoder.decode(buffer[..<count])
        }
        return waiting.removeFirst()
    }
}
