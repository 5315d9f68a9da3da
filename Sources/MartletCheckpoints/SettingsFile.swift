package import MartletJSON

/// A JSON file of settings, such as `config.json`, or an object inside of one. Members that are null count as absent.
package struct SettingsFile: Sendable {
    package let path: String
    /// The object.
    package let json: JSONValue
    /// The members that lead to the object, each with a point behind: "text_config.".
    private let prefix: String

    /// - Throws: `CheckpointError` for a file that is absent, too large, or no JSON object.
    package init(path: String, sizeLimit: Int = Self.usualSizeLimit) throws(CheckpointError) {
        let bytes = try Self.bytes(path: path, sizeLimit: sizeLimit)
        do {
            json = try JSONValue(parsing: bytes)
        } catch {
            throw CheckpointError(file: path, reason: "is not valid JSON: \(error.message)")
        }
        guard case .object = json else { throw CheckpointError(file: path, reason: "is \(json.kind), not an object") }
        self.path = path
        prefix = ""
    }

    private init(path: String, json: JSONValue, prefix: String) {
        self.path = path
        self.json = json
        self.prefix = prefix
    }

    /// Published configurations have a few kilobytes; a tree in memory takes some twenty times the text.
    package static let usualSizeLimit = 4 << 20

    /// A small file's contents.
    package static func bytes(path: String, sizeLimit: Int) throws(CheckpointError) -> [UInt8] {
        let file = try MappedFile(path: path)
        guard file.size <= sizeLimit else {
            throw CheckpointError(file: path, reason: "has \(file.size) bytes, more than the limit of \(sizeLimit)")
        }
        return Array(file.bytes)
    }

    // MARK: Members

    package func has(_ key: String) -> Bool { !json[key].isNull }

    /// Whether there is no such member, not even null.
    package func isAbsent(_ key: String) -> Bool {
        if case .object(let members) = json { members[key] == nil } else { true }
    }

    package func section(_ key: String) throws(CheckpointError) -> SettingsFile? {
        let value = json[key]
        if value.isNull { return nil }
        guard case .object = value else { throw unexpected(key, "an object") }
        return SettingsFile(path: path, json: value, prefix: "\(prefix)\(key).")
    }

    package func string(_ key: String) throws(CheckpointError) -> String? {
        if !has(key) { return nil }
        guard let text = json[key].text else { throw unexpected(key, "a string") }
        return text
    }

    package func boolean(_ key: String) throws(CheckpointError) -> Bool? {
        if !has(key) { return nil }
        guard let value = json[key].bool else { throw unexpected(key, "a boolean") }
        return value
    }

    package func integer(_ key: String) throws(CheckpointError) -> Int? {
        if !has(key) { return nil }
        guard let value = json[key].integer else { throw unexpected(key, "an integer") }
        return value
    }

    package func number(_ key: String) throws(CheckpointError) -> Double? {
        if !has(key) { return nil }
        guard let value = json[key].number, value.isFinite else { throw unexpected(key, "a finite number") }
        return value
    }

    package func isList(_ key: String) -> Bool { json[key].array != nil }

    package func integers(_ key: String) throws(CheckpointError) -> [Int]? {
        if !has(key) { return nil }
        guard let list = json[key].array else { throw unexpected(key, "a list") }
        return try list.map { (element) throws(CheckpointError) in
            guard let value = element.integer else { throw unexpected(key, "a list of integers") }
            return value
        }
    }

    package func strings(_ key: String) throws(CheckpointError) -> [String]? {
        if !has(key) { return nil }
        guard let list = json[key].array else { throw unexpected(key, "a list") }
        return try list.map { (element) throws(CheckpointError) in
            guard let value = element.text else { throw unexpected(key, "a list of strings") }
            return value
        }
    }

    // MARK: Checked members

    /// A size from 1 to `limit` that must be there.
    package func size(_ key: String, limit: Int) throws(CheckpointError) -> Int {
        try required(optionalSize(key, limit: limit), key)
    }

    /// A size from 1 to `limit`.
    package func optionalSize(_ key: String, limit: Int) throws(CheckpointError) -> Int? {
        guard let size = try integer(key) else { return nil }
        guard (1...limit).contains(size) else { throw failure(key, "is \(size), not 1 to \(limit)") }
        return size
    }

    /// A finite number above 0 and below `bound`.
    package func optionalPositiveNumber(_ key: String, below bound: Double) throws(CheckpointError) -> Double? {
        guard let value = try number(key) else { return nil }
        guard value > 0, value < bound else { throw failure(key, "is \(value), not above 0 and below \(bound)") }
        return value
    }

    /// `value`, or an error that says that the member is missing.
    package func required<Value>(_ value: Value?, _ key: String) throws(CheckpointError) -> Value {
        guard let value else { throw failure(key, "is missing") }
        return value
    }

    package func failure(_ key: String, _ reason: String) -> CheckpointError {
        CheckpointError(file: path, key: prefix + key, reason: reason)
    }

    private func unexpected(_ key: String, _ expected: String) -> CheckpointError {
        failure(key, "is \(json[key].kind), not \(expected)")
    }
}
