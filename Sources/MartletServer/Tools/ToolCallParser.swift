/// Tells calls of functions from text in an answer, part by part.
struct ToolCallParser: Sendable {
    enum Event: Sendable, Hashable {
        case text(String)
        case call(index: Int, name: String)
        /// More of the JSON of a call's arguments.
        case arguments(index: Int, String)
    }

    private enum Mode {
        /// Until a mark; what may become one is held back.
        case text
        /// Between the mark and the first character of a call.
        case beforeCall
        /// Mistral's newer format: a name in front of its arguments.
        case name
        case call
        case afterCall
    }

    private let format: ToolFormat
    private let names: Set<String>
    private let isForced: Bool
    private let allowsSeveral: Bool
    private var mode: Mode
    private var scanner = CallScanner()
    /// What is not decided yet: the end of a text that may be a mark, or a call that may turn out to be none.
    private var pending = ""
    private var name = ""
    private var hasBegun = false
    /// Nothing but white space so far.
    private var isAtStart = true
    private(set) var callCount = 0
    /// All calls are there: what follows is dropped.
    private var isOver = false

    init(_ use: ToolUse) {
        format = use.format
        names = use.names
        isForced = use.isForced
        allowsSeveral = use.allowsSeveral
        mode = use.isForced || use.format == .llama3 ? .beforeCall : .text
    }

    mutating func append(_ text: String) -> [Event] {
        var events: [Event] = []
        for scalar in text.unicodeScalars { take(scalar, &events) }
        return Self.joined(events)
    }

    /// There is no more text.
    mutating func finish() -> [Event] {
        var events: [Event] = []
        // A call that has no name was a text that looked like one.
        if !hasBegun || mode == .text { flush(&events) }
        return Self.joined(events)
    }

    private mutating func flush(_ events: inout [Event]) {
        if !pending.isEmpty, !(pending.isBlank && (callCount > 0 || isAtStart)) { events.append(.text(pending)) }
        pending = ""
    }

    private var mark: String { format == .mistral ? ToolFormat.mistralStart : ToolFormat.hermesStart }

    private mutating func take(_ scalar: Unicode.Scalar, _ events: inout [Event]) {
        if isOver { return }
        let isSpace = scalar.properties.isWhitespace
        switch mode {
        case .text: takeText(scalar, &events)
        case .beforeCall:
            pending.unicodeScalars.append(scalar)
            if isSpace { return }
            switch format {
            case .hermes:
                // Where calls are all there is, the mark is still to come.
                if scalar == "{" { begin(scalar, &events) } else { leaveMark(&events) }
            case .llama3:
                if scalar == "{" { begin(scalar, &events) } else { leaveMark(&events) }
            case .mistral:
                if scalar == "{" {
                    begin(scalar, &events)
                } else if scalar != "[", scalar != "," {
                    if scalar == "]" {
                        mode = .afterCall
                    } else {
                        name = String(scalar)
                        mode = .name
                    }
                }
            }
        case .name:
            pending.unicodeScalars.append(scalar)
            guard scalar == "{" else {
                name.unicodeScalars.append(scalar)
                if name.unicodeScalars.count > 256 { giveUp(&events) }
                return
            }
            if name.hasSuffix(ToolFormat.mistralArguments) { name.removeLast(ToolFormat.mistralArguments.count) }
            // Its id in between: answers have ids of their own.
            if let id = name.firstRange(of: ToolFormat.mistralCallID) { name.removeSubrange(id.lowerBound...) }
            scanner = .argumentsOnly()
            mode = .call
            start(name.trimmed, &events)
            scan(scalar, &events)
        case .call:
            pending.unicodeScalars.append(scalar)
            scan(scalar, &events)
        case .afterCall:
            takeAfterCall(scalar, &events)
        }
    }

    private mutating func takeText(_ scalar: Unicode.Scalar, _ events: inout [Event]) {
        let isBehindSpace = pending.unicodeScalars.last?.properties.isWhitespace ?? true
        pending.unicodeScalars.append(scalar)
        // More of the white space that is held back: it must not be looked through again and again.
        if isBehindSpace, scalar.properties.isWhitespace { return }
        if pending.ends(with: mark) {
            let text = String(String.UnicodeScalarView(pending.unicodeScalars.dropLast(mark.unicodeScalars.count)))
            // White space in front of a call belongs to neither; it comes back where the call turns out to be none.
            if !text.isBlank {
                events.append(.text(text))
                pending = mark
            }
            hasBegun = false
            mode = .beforeCall
            return
        }
        // White space at the ends is held back as well: before calls it is no content.
        let held = pending.suffixThatBegins(mark)
        let free = pending.unicodeScalars.dropLast(held)
        let keptSpace = free.reversed().prefix { $0.properties.isWhitespace }.count
        let text = String(String.UnicodeScalarView(free.dropLast(keptSpace)))
        guard !text.isEmpty else { return }
        events.append(.text(text))
        isAtStart = false
        pending = String(String.UnicodeScalarView(pending.unicodeScalars.suffix(held + keptSpace)))
    }

    /// In front of the object: the family's mark, or a text after all.
    private mutating func leaveMark(_ events: inout [Event]) {
        let start = pending.trimmed
        let mark = format == .llama3 ? ToolFormat.pythonTag : ToolFormat.hermesStart
        if mark.hasPrefix(start) || start == mark { return }
        giveUp(&events)
    }

    private mutating func begin(_ scalar: Unicode.Scalar, _ events: inout [Event]) {
        scanner = CallScanner()
        hasBegun = false
        mode = .call
        scan(scalar, &events)
    }

    private mutating func start(_ name: String, _ events: inout [Event]) {
        hasBegun = true
        events.append(.call(index: callCount, name: name))
        callCount += 1
    }

    private mutating func scan(_ scalar: Unicode.Scalar, _ events: inout [Event]) {
        switch scanner.take(scalar) {
        case .name(let name):
            // An answer that is JSON may have a name that is no function's.
            guard format != .llama3 || names.contains(name) else {
                giveUp(&events)
                return
            }
            start(name, &events)
            let early = scanner.takeEarlyArguments()
            if !early.isEmpty { events.append(.arguments(index: callCount - 1, early)) }
        case .arguments(let text): events.append(.arguments(index: callCount - 1, text))
        case nil: break
        }
        if scanner.hasFailed {
            guard hasBegun else { return giveUp(&events) }
            // A brace is missing: this is what follows the call.
            pending = ""
            mode = .afterCall
            takeAfterCall(scalar, &events)
        } else if scanner.isDone {
            pending = ""
            mode = .afterCall
        }
    }

    /// What looked like a call is text.
    private mutating func giveUp(_ events: inout [Event]) {
        // Beside calls there is no text in the other formats.
        if format != .hermes, callCount > 0 { return end() }
        if !pending.isEmpty {
            events.append(.text(pending))
            isAtStart = false
        }
        pending = ""
        mode = .text
    }

    /// What follows is dropped.
    private mutating func end() {
        pending = ""
        isOver = true
    }

    private mutating func takeAfterCall(_ scalar: Unicode.Scalar, _ events: inout [Event]) {
        pending.unicodeScalars.append(scalar)
        if scalar.properties.isWhitespace { return }
        let rest = pending.trimmed
        switch format {
        case .hermes:
            if rest == ToolFormat.hermesEnd {
                pending = ""
                if allowsSeveral { mode = .text } else { end() }
            } else if !ToolFormat.hermesEnd.hasPrefix(rest) {
                if allowsSeveral { mode = .text } else { end() }
            }
        case .llama3, .mistral:
            if [",", ";"].contains(rest), allowsSeveral {
                pending = ""
                mode = .beforeCall
            } else if rest == "]" {
                pending = ""
            } else if rest == ToolFormat.mistralStart, allowsSeveral {
                pending = ""
                mode = .beforeCall
            } else if rest == ToolFormat.mistralStart || !ToolFormat.mistralStart.hasPrefix(rest) {
                // No more calls, or none at all ("[]").
                giveUp(&events)
            }
        }
    }

    /// Neighbouring parts of the same kind as one. They are gathered outside of the events: a string inside of one would be
    /// copied for each part.
    private static func joined(_ events: [Event]) -> [Event] {
        var result: [Event] = []
        var gathered = ""
        for (position, event) in events.enumerated() {
            let next: Event? = position + 1 < events.count ? events[position + 1] : nil
            switch (event, next) {
            case (.call, _): result.append(event)
            case (.text(let part), .text(_)?): gathered += part
            case (.arguments(let index, let part), .arguments(let other, _)?) where index == other: gathered += part
            case (.text(let part), _):
                result.append(.text(gathered + part))
                gathered = ""
            case (.arguments(let index, let part), _):
                result.append(.arguments(index: index, gathered + part))
                gathered = ""
            }
        }
        return result
    }
}

extension String {
    fileprivate var isBlank: Bool { unicodeScalars.allSatisfy { $0.properties.isWhitespace } }

    /// By scalars: `hasSuffix` would not see a mark behind a scalar that it makes one character with.
    fileprivate func ends(with mark: String) -> Bool {
        unicodeScalars.suffix(mark.unicodeScalars.count).elementsEqual(mark.unicodeScalars)
    }

    fileprivate var trimmed: String {
        let scalars = unicodeScalars.drop { $0.properties.isWhitespace }
        let end = scalars.reversed().prefix { $0.properties.isWhitespace }.count
        return String(String.UnicodeScalarView(scalars.dropLast(end)))
    }

    /// How many scalars at the end are the beginning of a mark.
    fileprivate func suffixThatBegins(_ mark: String) -> Int {
        let (own, other) = (Array(unicodeScalars.suffix(mark.unicodeScalars.count)), Array(mark.unicodeScalars))
        for count in stride(from: min(own.count, other.count - 1), through: 1, by: -1)
        where own.suffix(count).elementsEqual(other.prefix(count)) {
            return count
        }
        return 0
    }
}
