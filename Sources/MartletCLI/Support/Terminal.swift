import Foundation

/// What the program knows about the terminal that stderr is connected to.
enum Terminal {
    /// Progress and colours are for people: only where stderr is a terminal.
    static let isInteractive = isatty(STDERR_FILENO) == 1

    /// https://no-color.org: any value but the empty one switches colours off.
    static let usesColor = isInteractive && colorIsWelcome(ProcessInfo.processInfo.environment)

    static func colorIsWelcome(_ environment: [String: String]) -> Bool {
        (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    /// Columns of the terminal on `descriptor`; 80 where there is none.
    static func width(of descriptor: Int32 = STDERR_FILENO) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Rows of the terminal on `descriptor`; 24 where there is none.
    static func height(of descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0 else { return 24 }
        return Int(size.ws_row)
    }

    /// A line for the person at the terminal. There is nowhere left to report a failure of this to.
    static func warn(_ line: String) { try? StandardStream.error.write(line + "\n") }

    enum Style: String {
        case bold = "1"
        case faint = "2"
    }

    static func styled(_ text: String, _ style: Style) -> String {
        usesColor ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }
}

extension String {
    /// The text as one line without control characters: what a file or a user wrote may hold escape sequences.
    var singleLine: String {
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            result.append(scalar.properties.generalCategory == .control ? " " : scalar)
        }
        return String(result).split(separator: " ").joined(separator: " ")
    }
}
