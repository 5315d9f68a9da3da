import Foundation

/// How the terminal treats what is typed. The mode that was found is put back at the end, whatever happens.
final class TerminalMode {
    private let original: termios

    /// Nil where standard input is not a terminal.
    init?() {
        var attributes = termios()
        guard tcgetattr(STDIN_FILENO, &attributes) == 0 else { return nil }
        original = attributes
    }

    /// Every byte comes as it is typed, Ctrl-C included; nothing is echoed.
    func setRaw() {
        var attributes = original
        attributes.c_iflag &= ~tcflag_t(BRKINT | ICRNL | INPCK | ISTRIP | IXON)
        attributes.c_lflag &= ~tcflag_t(ECHO | ICANON | IEXTEN | ISIG)
        set(attributes)
    }

    /// While an answer is written: what is typed is kept for the next line and not echoed; Ctrl-C is a signal.
    func setQuiet() {
        var attributes = original
        attributes.c_lflag &= ~tcflag_t(ECHO | ICANON)
        set(attributes)
    }

    func restore() { set(original) }

    private func set(_ attributes: termios) {
        var attributes = attributes
        // Without flushing: what was typed ahead stays.
        while tcsetattr(STDIN_FILENO, TCSADRAIN, &attributes) != 0, errno == EINTR {}
    }
}
