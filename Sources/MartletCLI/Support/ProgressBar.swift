import Foundation
import Synchronization

/// A bar on stderr while something takes long. Off a terminal it shows nothing.
final class ProgressBar: Sendable {
    private let title: String
    private let isVisible: Bool
    private let drawn = Mutex(Drawn())

    private struct Drawn {
        var time: ContinuousClock.Instant?
        var text = ""
    }

    init(_ title: String, isVisible: Bool = Terminal.isInteractive) {
        self.title = title
        self.isVisible = isVisible
    }

    /// - Parameters:
    ///   - fraction: 0 to 1.
    ///   - note: numbers behind the bar.
    func update(_ fraction: Double, note: String = "") {
        guard isVisible else { return }
        drawn.withLock { drawn in
            let now = ContinuousClock.now
            if let time = drawn.time, now - time < .milliseconds(50) { return }
            drawn.time = now
            let text = Self.text(title, fraction: fraction, note: note, width: Terminal.width())
            if text != drawn.text { try? StandardStream.error.write("\r\u{1B}[K" + text) }
            drawn.text = text
        }
    }

    /// Takes the bar away.
    func finish() {
        drawn.withLock { drawn in
            if !drawn.text.isEmpty { try? StandardStream.error.write("\r\u{1B}[K") }
            drawn.text = ""
        }
    }

    /// A line in the bar's place; the bar goes on below.
    func note(_ line: String) {
        drawn.withLock { drawn in
            if !drawn.text.isEmpty { try? StandardStream.error.write("\r\u{1B}[K") }
            drawn.text = ""
            Terminal.warn(line)
        }
    }

    /// One line that fits in `width` columns.
    static func text(_ title: String, fraction: Double, note: String, width: Int) -> String {
        let fraction = fraction.isFinite ? min(max(fraction, 0), 1) : 0
        let percent = String(format: "%3d%%", Int(fraction * 100))
        let tail = percent + (note.isEmpty ? "" : "  " + note)
        let cells = min(30, width - title.count - tail.count - 5)
        guard cells >= 4 else { return String("\(title) \(tail)".prefix(max(width - 1, 1))) }
        let full = Int((fraction * Double(cells)).rounded(.down))
        let bar = String(repeating: "█", count: full) + String(repeating: "░", count: cells - full)
        return "\(title) \(bar) \(tail)"
    }
}
