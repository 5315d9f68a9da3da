import MartletJSON

/// The contents of a `tokenizer.json`, before the stages are built.
struct TokenizerFile {
    /// The members besides the model.
    var members: [String: JSONValue] = [:]
    /// The model's members besides its vocabulary and merges.
    var model: [String: JSONValue] = [:]
    /// Tokens in the order of the file.
    var tokens = ByteStringTable()
    /// By position in `tokens`, the id.
    var ids: [TokenID] = []
    /// By position in `tokens`, the score (Unigram only).
    var scores: [Double] = []
    /// Left and right side of each merge in turn.
    var merges = ByteStringTable()

    init(_ bytes: [UInt8]) throws(TokenizerError) {
        do {
            self = try Self.read(bytes)
        } catch {
            throw .malformed("JSON: \(error.message)")
        }
    }

    private static func read(_ bytes: [UInt8]) throws(JSONError) -> TokenizerFile {
        var reader = try JSONReader(bytes)
        var file = TokenizerFile()
        try reader.object { reader throws(JSONError) in
            if reader.scratch == Array("model".utf8), reader.isAtObject() {
                try reader.object { reader throws(JSONError) in try file.readModelMember(&reader) }
            } else {
                let key = String(decoding: reader.scratch, as: UTF8.self)
                file.members[key] = try reader.value()
            }
        }
        try reader.end()
        return file
    }

    private init() {}

    private mutating func readModelMember(_ reader: inout JSONReader) throws(JSONError) {
        let key = String(decoding: reader.scratch, as: UTF8.self)
        switch key {
        case "vocab": if reader.isAtArray() { try readScores(&reader) } else { try readVocabulary(&reader) }
        case "merges": try readMerges(&reader)
        default: model[key] = try reader.value()
        }
    }

    /// `{"token": id, …}`
    private mutating func readVocabulary(_ reader: inout JSONReader) throws(JSONError) {
        var tokens = ByteStringTable()
        var ids: [TokenID] = []
        try reader.object { reader throws(JSONError) in
            tokens.append(reader.scratch)
            ids.append(try reader.integer())
        }
        (self.tokens, self.ids) = (tokens, ids)
    }

    /// `[["token", score], …]`
    private mutating func readScores(_ reader: inout JSONReader) throws(JSONError) {
        var tokens = ByteStringTable()
        var scores: [Double] = []
        try reader.array { reader throws(JSONError) in
            var element = 0
            try reader.array { reader throws(JSONError) in
                switch element {
                case 0:
                    try reader.string()
                    tokens.append(reader.scratch)
                case 1: scores.append(try reader.number())
                default: throw reader.error("a vocabulary entry of more than two elements")
                }
                element += 1
            }
            guard element == 2 else { throw reader.error("a vocabulary entry of \(element) elements") }
        }
        (self.tokens, self.scores) = (tokens, scores)
        ids = tokens.count <= Int(Int32.max) ? (0..<Int32(tokens.count)).map { $0 } : []
    }

    /// `["left right", …]` or `[["left", "right"], …]`
    private mutating func readMerges(_ reader: inout JSONReader) throws(JSONError) {
        var merges = ByteStringTable()
        try reader.array { reader throws(JSONError) in
            if reader.isAtString() {
                try reader.string()
                let parts = reader.scratch.split(separator: 0x20, omittingEmptySubsequences: false)
                guard parts.count == 2 else { throw reader.error("a merge of \(parts.count) parts") }
                for part in parts { merges.append(part) }
            } else {
                var count = 0
                try reader.array { reader throws(JSONError) in
                    try reader.string()
                    merges.append(reader.scratch)
                    count += 1
                }
                guard count == 2 else { throw reader.error("a merge of \(count) parts") }
            }
        }
        self.merges = merges
    }

    /// The vocabulary by id, with the added tokens; ids that nothing uses are empty strings.
    func tokensByID(_ added: [AddedTokens.Token]) throws(TokenizerError) -> (
        model: ByteStringTable, all: ByteStringTable
    ) {
        var size = 0
        for id in ids + added.map(\.id) {
            guard id >= 0, Int(id) < Tokenizer.maximumVocabularySize else { throw .malformed("token id \(id)") }
            size = max(size, Int(id) + 1)
        }
        var position = [Int32](repeating: -1, count: size)
        for (index, id) in ids.enumerated() { position[Int(id)] = Int32(index) }
        let contents = Dictionary(added.map { ($0.id, $0.content) }, uniquingKeysWith: { $1 })
        var model = ByteStringTable(minimumCapacity: size)
        var all = ByteStringTable(minimumCapacity: size)
        for id in 0..<size {
            let token = position[id] >= 0 ? tokens[Int(position[id])] : []
            model.append(token)
            all.append(contents[TokenID(id)].map { $0[...] } ?? token)
        }
        all.buildIndex()
        return (model, all)
    }
}
