/// Rows of text in columns, as Markdown that also reads well on a terminal, or as CSV.
struct Table {
    enum Alignment { case left, right }

    struct Column {
        var title: String
        var alignment: Alignment

        init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title
            self.alignment = alignment
        }
    }

    let columns: [Column]
    private(set) var rows: [[String]] = []

    init(_ columns: Column...) { self.columns = columns }

    mutating func append(_ cells: String...) {
        precondition(cells.count == columns.count)
        rows.append(cells)
    }

    var markdown: String {
        let widths = columns.indices.map { column in
            (rows.map { Self.escaped($0[column]).displayWidth } + [columns[column].title.displayWidth, 3]).max() ?? 3
        }
        func line(_ cells: [String]) -> String {
            let padded = cells.indices.map { index -> String in
                let cell = Self.escaped(cells[index])
                let padding = String(repeating: " ", count: widths[index] - cell.displayWidth)
                return columns[index].alignment == .left ? cell + padding : padding + cell
            }
            return "| " + padded.joined(separator: " | ") + " |\n"
        }
        let rule = columns.indices.map { index -> String in
            let dashes = String(repeating: "-", count: widths[index] + 1)
            return columns[index].alignment == .left ? "-" + dashes : dashes + ":"
        }
        return line(columns.map(\.title)) + "|" + rule.joined(separator: "|") + "|\n" + rows.map(line).joined()
    }

    /// RFC 4180, with bare newlines.
    var csv: String {
        ([columns.map(\.title)] + rows).map { cells in
            cells.map(Self.quoted).joined(separator: ",") + "\n"
        }.joined()
    }

    private static func escaped(_ cell: String) -> String {
        cell.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }

    private static func quoted(_ cell: String) -> String {
        guard cell.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return cell }
        return "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
