import MartletJSON

/// The JSON header of a safetensors file, as it says it: nothing is checked against the file yet.
struct SafetensorsHeader {
    struct Entry {
        let name: String
        var type = ""
        var shape: [Int] = []
        /// From the start of the data.
        var begin = 0
        var end = 0
    }

    private(set) var entries: [Entry] = []

    init(_ bytes: [UInt8]) throws(JSONError) {
        var reader = try JSONReader(bytes)
        var names = Set<String>()
        var entries: [Entry] = []
        try reader.object { reader throws(JSONError) in
            let name = String(decoding: reader.scratch, as: UTF8.self)
            guard names.insert(name).inserted else { throw reader.error("'\(name)' is there twice") }
            if name == "__metadata__" {
                // Free text for people.
                try reader.object { reader throws(JSONError) in try reader.string() }
            } else {
                entries.append(try Self.entry(name, &reader))
            }
        }
        try reader.end()
        self.entries = entries
    }

    /// `{"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}`, the members in any order and nothing else.
    private static func entry(_ name: String, _ reader: inout JSONReader) throws(JSONError) -> Entry {
        var entry = Entry(name: name)
        var members = Set<String>()
        try reader.object { reader throws(JSONError) in
            let member = String(decoding: reader.scratch, as: UTF8.self)
            guard members.insert(member).inserted else {
                throw reader.error("tensor '\(name)' has '\(member)' twice")
            }
            switch member {
            case "dtype":
                try reader.string()
                entry.type = String(decoding: reader.scratch, as: UTF8.self)
            case "shape":
                try reader.array { reader throws(JSONError) in
                    guard entry.shape.count < Safetensors.Limits.dimensions else {
                        throw reader.error(
                            "tensor '\(name)' has more than \(Safetensors.Limits.dimensions) dimensions")
                    }
                    entry.shape.append(try reader.integer())
                }
            case "data_offsets":
                var count = 0
                try reader.array { reader throws(JSONError) in
                    let offset: Int = try reader.integer()
                    if count == 0 { entry.begin = offset } else { entry.end = offset }
                    count += 1
                    guard count <= 2 else { throw reader.error("tensor '\(name)' has more than two offsets") }
                }
                guard count == 2 else { throw reader.error("tensor '\(name)' has \(count) offsets, not two") }
            default: throw reader.error("tensor '\(name)' has an unknown member '\(member)'")
            }
        }
        for member in ["dtype", "shape", "data_offsets"] where !members.contains(member) {
            throw reader.error("tensor '\(name)' has no '\(member)'")
        }
        return entry
    }
}
