extension GGUF {
    /// The key-value section, in file order. Accessors return nil for an absent key and throw where the value has another
    /// type than asked for.
    package struct Metadata: Sendable {
        package let file: MappedFile
        package private(set) var keys: [String] = []
        private var values: [String: MetadataValue] = [:]

        init(reading cursor: inout ByteCursor, entryCount: Int) throws(CheckpointError) {
            file = cursor.file
            keys.reserveCapacity(entryCount)
            values.reserveCapacity(entryCount)
            for _ in 0..<entryCount {
                let key = try cursor.text("a metadata key", limit: Limits.keyLength)
                let value = try MetadataValue(reading: &cursor, key: key)
                guard values.updateValue(value, forKey: key) == nil else { throw failure(key, "is there twice") }
                keys.append(key)
            }
        }

        package subscript(key: String) -> MetadataValue? { values[key] }

        /// Text; the bytes must be UTF-8.
        package func string(_ key: String) throws(CheckpointError) -> String? {
            guard let value = values[key] else { return nil }
            guard case .string(let bytes) = value else { throw mismatch(key, value, "a string") }
            guard let text = bytes.string else { throw failure(key, "is not valid UTF-8") }
            return text
        }

        /// An integer of any width.
        package func integer(_ key: String) throws(CheckpointError) -> Int? {
            guard let value = values[key] else { return nil }
            switch value {
            case .unsigned(let number):
                guard let integer = Int(exactly: number) else { throw failure(key, "is \(number), out of range") }
                return integer
            case .signed(let number): return Int(number)
            default: throw mismatch(key, value, "an integer")
            }
        }

        /// The id of a token. All ones (-1, or the same bits unsigned) is how some writers say that there is none.
        package func tokenID(_ key: String) throws(CheckpointError) -> Int? {
            guard let id = try integer(key), id != -1, id != Int(UInt32.max) else { return nil }
            return id
        }

        /// A floating-point number or an integer.
        package func number(_ key: String) throws(CheckpointError) -> Double? {
            guard let value = values[key] else { return nil }
            switch value {
            case .float(let number): return number
            case .unsigned(let number): return Double(number)
            case .signed(let number): return Double(number)
            default: throw mismatch(key, value, "a number")
            }
        }

        package func boolean(_ key: String) throws(CheckpointError) -> Bool? {
            guard let value = values[key] else { return nil }
            guard case .boolean(let truth) = value else { throw mismatch(key, value, "a boolean") }
            return truth
        }

        package func array(_ key: String) throws(CheckpointError) -> MetadataArray? {
            guard let value = values[key] else { return nil }
            guard case .array(let array) = value else { throw mismatch(key, value, "an array") }
            return array
        }

        /// Strings as bytes: a vocabulary's entries need not be valid UTF-8.
        package func strings(_ key: String) throws(CheckpointError) -> StringArray? {
            guard let array = try array(key) else { return nil }
            guard let strings = array.strings else { throw mismatch(key, .array(array), "an array of strings") }
            return strings
        }

        package func integers(_ key: String) throws(CheckpointError) -> [Int]? {
            guard let array = try array(key) else { return nil }
            guard let integers = array.integers else { throw mismatch(key, .array(array), "an array of integers") }
            return integers
        }

        package func numbers(_ key: String) throws(CheckpointError) -> [Double]? {
            guard let array = try array(key) else { return nil }
            guard let numbers = array.numbers else { throw mismatch(key, .array(array), "an array of numbers") }
            return numbers
        }

        /// `value`, or an error that says that `key` is missing.
        package func required<Value>(_ value: Value?, _ key: String) throws(CheckpointError) -> Value {
            guard let value else { throw failure(key, "is missing") }
            return value
        }

        package func failure(_ key: String, _ reason: String) -> CheckpointError {
            CheckpointError(file: file.path, key: key, reason: reason)
        }

        private func mismatch(_ key: String, _ value: MetadataValue, _ expected: String) -> CheckpointError {
            failure(key, "is \(value.kind), not \(expected)")
        }
    }
}
