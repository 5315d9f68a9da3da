import MartletJinja

/// Reads the JSON object of one call as it comes: `{"name": …, "arguments": {…}}`.
struct CallScanner: Sendable {
    enum Event: Sendable, Hashable {
        case name(String)
        /// More of the arguments' JSON.
        case arguments(String)
    }

    private enum Phase {
        case start, key, colon, value, between, done, failed
    }

    private var phase = Phase.start
    private var key = ""
    private var value = ""
    /// Brackets that are open inside of the value.
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    private var hasName = false
    private var hasArguments = false
    /// Arguments that came before the name.
    private var early = ""

    var isDone: Bool { if case .done = phase { true } else { false } }
    var hasFailed: Bool { if case .failed = phase { true } else { false } }

    /// Only the object of arguments, for formats that have the name before it.
    static func argumentsOnly() -> CallScanner {
        var scanner = CallScanner()
        scanner.hasName = true
        scanner.key = "arguments"
        scanner.phase = .value
        scanner.isBare = true
        return scanner
    }

    /// The value is all there is.
    private var isBare = false

    private var isArguments: Bool { key == "arguments" || key == "parameters" }

    /// Takes the next scalar.
    mutating func take(_ scalar: Unicode.Scalar) -> Event? {
        let isSpace = scalar == " " || scalar == "\n" || scalar == "\t" || scalar == "\r"
        switch phase {
        case .start:
            if scalar == "{" { phase = .between } else if !isSpace { phase = .failed }
        case .between:
            switch scalar {
            case "\"":
                (key, phase, isInString) = ("", .key, true)
            case "}": return endObject()
            default: if !isSpace, scalar != "," { phase = .failed }
            }
        case .key:
            if isEscaped {
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else if scalar == "\"" {
                (phase, isInString) = (.colon, false)
                return nil
            }
            key.unicodeScalars.append(scalar)
        case .colon:
            if scalar == ":" {
                (phase, value, depth) = (.value, "", 0)
            } else if !isSpace {
                phase = .failed
            }
        case .value: return takeValue(scalar, isSpace)
        case .done, .failed: break
        }
        return nil
    }

    private mutating func takeValue(_ scalar: Unicode.Scalar, _ isSpace: Bool) -> Event? {
        if value.isEmpty, isSpace { return nil }
        let isContainer = value.unicodeScalars.first.map { $0 == "{" || $0 == "[" } ?? (scalar == "{" || scalar == "[")
        if isBare, !isContainer {
            phase = .failed
            return nil
        }
        if !isInString, depth == 0, scalar == "," || scalar == "}" {
            // The end of a number or a word.
            let event = endValue()
            guard scalar == "}" else { return event }
            return endObject() ?? event
        }
        value.unicodeScalars.append(scalar)
        var ends = false
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else if scalar == "\"" {
                isInString = false
                ends = depth == 0
            }
        } else {
            switch scalar {
            case "\"": isInString = true
            case "{", "[": depth += 1
            case "}", "]":
                depth -= 1
                ends = depth == 0
            default: break
            }
        }
        // Objects are passed on as they come; a string that holds JSON has to be read first.
        var event: Event?
        if isArguments, isContainer { event = arguments(String(scalar)) }
        if ends { event = endValue() ?? event }
        return event
    }

    /// A call without arguments has none to give: an empty object.
    private mutating func endObject() -> Event? {
        phase = hasName ? .done : .failed
        return hasName && !hasArguments ? .arguments("{}") : nil
    }

    private mutating func endValue() -> Event? {
        phase = isBare ? .done : .between
        if key == "name", !hasName, let name = (try? Value(json: value))?.asString {
            hasName = true
            return .name(name)
        }
        if isArguments, let first = value.unicodeScalars.first, first != "{", first != "[" {
            return arguments((try? Value(json: value))?.asString ?? (value == "null" ? "{}" : value))
        }
        return nil
    }

    private mutating func arguments(_ text: String) -> Event? {
        hasArguments = true
        guard hasName else {
            early += text
            return nil
        }
        return .arguments(text)
    }

    /// Arguments that came before the name, once.
    mutating func takeEarlyArguments() -> String {
        defer { early = "" }
        return early
    }
}
