/// What a person can do with a key, or a few, as far as the line editor cares.
enum Key: Equatable {
    /// Typed characters.
    case text(String)
    /// Pasted text: newlines in it do not end the input.
    case paste(String)
    case enter, tab
    case backspace, delete
    case left, right, wordLeft, wordRight, home, end
    case up, down
    case killToEnd, killToStart, killWord
    case clearScreen
    /// Ctrl-C.
    case interrupt
    /// Ctrl-D.
    case endOfInput
}
