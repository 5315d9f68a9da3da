/// How a line lies on a terminal: its rows, and where the cursor is among them.
struct LineLayout: Equatable {
    private(set) var rows: [String]
    private(set) var cursorRow: Int
    private(set) var cursorColumn: Int

    /// - Parameters:
    ///   - prompt: stands before the first row.
    ///   - continuation: stands before the rows that follow a newline.
    ///   - width: columns of the terminal; characters of two columns are never split.
    init(prompt: String, continuation: String, characters: [Character], cursor: Int, width: Int) {
        let width = max(width, 2)
        rows = [prompt]
        (cursorRow, cursorColumn) = (0, 0)
        var column = prompt.displayWidth
        func place() -> (Int, Int) { column >= width ? (rows.count, 0) : (rows.count - 1, column) }
        for (index, character) in characters.enumerated() {
            if index == cursor { (cursorRow, cursorColumn) = place() }
            if character.isNewline {
                // No row is made for a cursor between a full row and its newline.
                if index == cursor, column >= width { (cursorRow, cursorColumn) = (rows.count - 1, width - 1) }
                rows.append(continuation)
                column = continuation.displayWidth
                continue
            }
            let shown = character == "\t" ? "    " : String(character)
            let size = shown.displayWidth
            if column + size > width {
                // The cursor stands where the character goes.
                if index == cursor { (cursorRow, cursorColumn) = (rows.count, 0) }
                rows.append("")
                column = 0
            }
            rows[rows.count - 1] += shown
            column += size
        }
        if cursor >= characters.count { (cursorRow, cursorColumn) = place() }
        if cursorRow == rows.count { rows.append("") }
    }

    /// The rows around the cursor that fit on `height` rows.
    func visible(height: Int) -> LineLayout {
        let height = max(height, 1)
        guard rows.count > height else { return self }
        var result = self
        let first = min(max(cursorRow - height + 1, 0), rows.count - height)
        result.rows = Array(rows[first..<first + height])
        result.cursorRow -= first
        return result
    }
}
