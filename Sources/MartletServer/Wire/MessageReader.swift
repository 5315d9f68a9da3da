import Foundation
import MartletJinja

/// Reads messages of OpenAI's API as chat templates expect them.
struct MessageReader {
    /// Whether contents may show images: the template then gets them in parts.
    let seesImages: Bool
    private let limits: ServerLimits
    /// The files that were shown so far.
    private(set) var images: [Data] = []
    /// Of the arguments of calls so far.
    private var argumentBytes = 0

    init(seesImages: Bool, limits: ServerLimits) {
        self.seesImages = seesImages
        self.limits = limits
    }

    mutating func message(_ value: Value, _ path: String) throws(APIError) -> Value {
        guard case .dictionary(let object) = value else { throw .type(path, expected: "an object", got: value) }
        guard var role = object["role"]?.asString else {
            throw .type("\(path).role", expected: "a string", got: object["role"] ?? .null)
        }
        // OpenAI's newer name for it; templates know the older one.
        if role == "developer" { role = "system" }
        guard ["system", "user", "assistant", "tool"].contains(role) else {
            throw .value("\(path).role", "must be 'system', 'developer', 'user', 'assistant' or 'tool'")
        }
        for name in ["function_call", "audio"] {
            if let value = object[name], value.isPresent { throw .unsupported("\(path).\(name)") }
        }
        var calls: [Value] = []
        if let value = object["tool_calls"], value.isPresent {
            guard role == "assistant" else { throw .value("\(path).tool_calls", "is for messages of the assistant") }
            calls = try toolCalls(value, "\(path).tool_calls")
        }
        var content: Value = seesImages ? .list([]) : .string("")
        if let value = object["content"], value.isPresent {
            content = try self.content(value, "\(path).content")
        } else if calls.isEmpty {
            throw .missing("\(path).content")
        }
        var message: [(String, Value)] = [("role", .string(role)), ("content", content)]
        if !calls.isEmpty { message.append(("tool_calls", .list(calls))) }
        for name in ["name", "tool_call_id"] {
            if let value = object[name], !value.isNull, value.asString == nil {
                throw .type("\(path).\(name)", expected: "a string", got: value)
            }
        }
        for (key, value) in zip(object.keys, object.values) {
            let name = key.asString ?? ""
            if !["role", "content", "tool_calls"].contains(name) { message.append((name, value)) }
        }
        return .dictionary(message)
    }

    // MARK: Content

    /// A string, or parts. Without images these are joined by newlines, as vLLM joins them.
    private mutating func content(_ value: Value, _ path: String) throws(APIError) -> Value {
        if let text = value.asString { return seesImages ? .list([Self.part(text)]) : value }
        guard let parts = value.array else { throw .type(path, expected: "a string or an array of parts", got: value) }
        var texts: [String] = []
        var list: [Value] = []
        for (index, part) in parts.enumerated() {
            let path = "\(path)[\(index)]"
            guard let type = part["type"]?.asString else {
                throw .type("\(path).type", expected: "a string", got: part["type"] ?? .null)
            }
            switch type {
            case "text", "input_text", "output_text":
                guard let text = part["text"]?.asString else {
                    throw .type("\(path).text", expected: "a string", got: part["text"] ?? .null)
                }
                texts.append(text)
                list.append(Self.part(text))
            case "image_url" where seesImages:
                guard images.count < limits.images else {
                    throw .value("messages", "may show \(limits.images) images at most")
                }
                images.append(try Self.image(part["image_url"] ?? .null, "\(path).image_url"))
                list.append(.dictionary([("type", .string("image"))]))
            case "image_url": throw .unsupported("\(path).type", "'image_url': this model does not see images")
            default: throw .unsupported("\(path).type", "'\(type)' is not supported")
            }
        }
        return seesImages ? .list(list) : .string(texts.joined(separator: "\n"))
    }

    static func part(_ text: String) -> Value {
        .dictionary([("type", .string("text")), ("text", .string(text))])
    }

    /// A content with more behind its text; nil where it doesn't end with one.
    static func appended(_ text: String, to content: Value) -> Value? {
        if let before = content.asString { return .string(before + text) }
        guard let parts = content.array, let before = parts.last?["text"]?.asString else { return nil }
        return .list(parts.dropLast() + [part(before + text)])
    }

    /// The file in a data URL (RFC 2397). Nothing is ever fetched for a request: the server would reach what its clients
    /// can't.
    private static func image(_ value: Value, _ path: String) throws(APIError) -> Data {
        guard let url = value.asString ?? value["url"]?.asString else {
            throw .type("\(path).url", expected: "a string", got: value["url"] ?? value)
        }
        guard url.hasPrefix("data:") else {
            throw .unsupported("\(path).url", "must be a data: URL; images are not fetched from elsewhere")
        }
        guard let comma = url.utf8.firstIndex(of: UInt8(ascii: ",")), url[..<comma].hasSuffix(";base64"),
            let file = Data(base64Encoded: String(url[url.utf8.index(after: comma)...])), !file.isEmpty
        else {
            throw .value("\(path).url", "must be 'data:image/…;base64,' and Base64")
        }
        return file
    }

    // MARK: Tool calls

    /// `{"id", "type": "function", "function": {"name", "arguments"}}`. Arguments come as JSON in a string; templates write
    /// them themselves, so they get the object.
    private mutating func toolCalls(_ value: Value, _ path: String) throws(APIError) -> [Value] {
        guard let elements = value.array else { throw .type(path, expected: "an array of objects", got: value) }
        var calls: [Value] = []
        for (index, element) in elements.enumerated() {
            let path = "\(path)[\(index)]"
            guard case .dictionary(var call) = element, case .dictionary(var function)? = call["function"],
                function["name"]?.asString != nil
            else {
                throw .value(path, "must be an object with a 'function' that has a 'name'")
            }
            for (name, value) in [("id", call["id"]), ("type", call["type"])] {
                guard let value, !value.isNull, value.asString == nil else { continue }
                throw .type("\(path).\(name)", expected: "a string", got: value)
            }
            try RequestFields.requireFunction(call["type"], "\(path).type")
            var arguments = function["arguments"] ?? .dictionary([])
            if let text = arguments.asString {
                // Two bytes may be a value, which takes far more.
                argumentBytes += text.utf8.count
                guard argumentBytes <= 2 * limits.jsonValues else {
                    throw .value("\(path).function.arguments", "is too large, together with those before")
                }
                arguments = (text.isEmpty ? .dictionary([]) : try? Value(strictJSON: Array(text.utf8))) ?? .null
            } else if arguments.isNull {
                arguments = .dictionary([])
            }
            guard case .dictionary = arguments else {
                throw .value("\(path).function.arguments", "must be a JSON object")
            }
            function.set(.string("arguments"), arguments)
            call.set(.string("function"), .dictionary(function))
            if call["type"] == nil { call.set(.string("type"), .string("function")) }
            calls.append(.dictionary(call))
        }
        return calls
    }
}

extension Value {
    var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// Neither null nor an empty list.
    var isPresent: Bool {
        if isNull { return false }
        return array?.isEmpty != true
    }
}
