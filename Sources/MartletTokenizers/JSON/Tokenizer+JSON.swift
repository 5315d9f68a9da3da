import MartletJSON

extension Tokenizer {
    /// A tokenizer from the bytes of a `tokenizer.json` (https://huggingface.co/docs/tokenizers).
    ///
    /// `specialTokens` are the roles that `tokenizer_config.json` and `generation_config.json` give to tokens; `tokenizer.json`
    /// itself does not have them.
    package init(
        tokenizerJSON bytes: [UInt8], specialTokens: SpecialTokens = SpecialTokens()
    ) throws(TokenizerError) {
        let file = try TokenizerFile(bytes)
        let added = try Self.addedTokens(file.members["added_tokens"] ?? .null)
        let (words, spelled) = try file.tokensByID(added)
        let normalizer = try Normalizer(json: file.members["normalizer"] ?? .null)
        let preTokenizer = try PreTokenizer(json: file.members["pre_tokenizer"] ?? .null)
        var roles = specialTokens
        let model = try Self.model(
            file, words, usesByteLevel: preTokenizer?.usesByteLevel ?? false, unknown: &roles.unknown)
        self.init(
            spelled: spelled,
            addedTokens: try AddedTokens(added, normalizer: normalizer),
            normalizer: normalizer,
            preTokenizer: preTokenizer,
            model: model,
            postProcessor: try PostProcessor(json: file.members["post_processor"] ?? .null, spelled),
            decoder: try Decoder(
                json: file.members["decoder"] ?? .null, spelled: Self.decoded(spelled, added, normalizer)),
            specialTokens: roles)
    }

    private static func addedTokens(_ json: JSONValue) throws(TokenizerError) -> [AddedTokens.Token] {
        var result: [AddedTokens.Token] = []
        if json.isNull { return [] }
        guard let entries = json.array else { throw .malformed("added_tokens is not a list") }
        for entry in entries {
            guard let id = entry["id"].integer, let id = TokenID(exactly: id), let content = entry["content"].bytes
            else {
                throw .malformed("an added token without id or content")
            }
            let isSpecial = try entry.flag("special", default: false)
            result.append(
                AddedTokens.Token(
                    id: id, content: content, isSpecial: isSpecial,
                    stripsLeft: try entry.flag("lstrip", default: false),
                    stripsRight: try entry.flag("rstrip", default: false),
                    isSingleWord: try entry.flag("single_word", default: false),
                    isNormalized: try entry.flag("normalized", default: !isSpecial)))
        }
        return result
    }

    /// The vocabulary as decoding spells it: added tokens that are looked for in normalized text come out normalized.
    private static func decoded(
        _ spelled: ByteStringTable, _ added: [AddedTokens.Token], _ normalizer: Normalizer?
    ) -> ByteStringTable {
        guard let normalizer, added.contains(where: \.isNormalized) else { return spelled }
        let normalized = Dictionary(
            added.filter(\.isNormalized).map { ($0.id, normalizer.normalize($0.content)) }, uniquingKeysWith: { $1 })
        var result = ByteStringTable(minimumCapacity: spelled.count)
        for id in 0..<spelled.count { result.append(normalized[TokenID(id)].map { $0[...] } ?? spelled[id]) }
        return result
    }

    // MARK: Model

    private static func model(
        _ file: TokenizerFile, _ words: ByteStringTable, usesByteLevel: Bool, unknown: inout TokenID?
    ) throws(TokenizerError) -> Model {
        let isUnigram = file.scores.count == file.tokens.count && !file.scores.isEmpty
        let type = file.model["type"]?.text ?? (isUnigram ? "Unigram" : "BPE")
        switch type {
        case "BPE": return .bpe(try bpe(file, words, usesByteLevel: usesByteLevel, unknown: &unknown))
        case "Unigram":
            guard !usesByteLevel else { throw .unsupported("a Unigram model of byte-level text") }
            let id = file.model["unk_id"]?.integer.flatMap { TokenID(exactly: $0) }
            unknown = unknown ?? id
            var vocabulary = file.tokens
            vocabulary.buildIndex()
            return .unigram(
                try Unigram(
                    words: vocabulary, scores: file.scores, unknown: id,
                    usesByteFallback: file.model["byte_fallback"]?.bool ?? false))
        default: throw .unsupported("the model type \"\(type)\"")
        }
    }

    private static func bpe(
        _ file: TokenizerFile, _ spelled: ByteStringTable, usesByteLevel: Bool, unknown: inout TokenID?
    ) throws(TokenizerError) -> BPE {
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            guard file.model[name]?.bytes?.isEmpty ?? true else { throw .unsupported("BPE with \(name)") }
        }
        var spelled = spelled
        spelled.buildIndex()
        var merges = PairTable(minimumCapacity: file.merges.count / 2)
        var joined: [UInt8] = []
        for index in 0..<(file.merges.count / 2) {
            let left = file.merges[2 * index]
            let right = file.merges[2 * index + 1]
            joined.removeAll(keepingCapacity: true)
            joined += left
            joined += right
            guard let leftID = spelled.find(left), let rightID = spelled.find(right), let result = spelled.find(joined)
            else {
                let text = "\(String(decoding: left, as: UTF8.self)) \(String(decoding: right, as: UTF8.self))"
                throw .malformed("merge \(index) (\(text)) names a token that the vocabulary lacks")
            }
            merges.insert(
                TokenID(leftID), TokenID(rightID), PairTable.Merge(rank: UInt32(index), result: TokenID(result)))
        }
        var options = BPE.Options()
        if let token = file.model["unk_token"]?.bytes {
            options.unknown = spelled.find(token).map { TokenID($0) }
            unknown = unknown ?? options.unknown
        }
        options.fusesUnknown = file.model["fuse_unk"]?.bool ?? false
        options.usesByteFallback = file.model["byte_fallback"]?.bool ?? false
        options.ignoresMerges = file.model["ignore_merges"]?.bool ?? false
        guard usesByteLevel else {
            return BPE(alphabet: .scalars, words: spelled, merges: merges, options: options)
        }
        var words = ByteStringTable(minimumCapacity: spelled.count)
        for id in 0..<spelled.count { words.append(ByteLevel.decode(spelled[id]) ?? []) }
        words.buildIndex()
        return BPE(alphabet: .bytes, words: words, merges: merges, options: options)
    }
}

extension ByteStringTable {
    func find(_ bytes: ArraySlice<UInt8>) -> Int? {
        bytes.withUnsafeBytes { find($0) }
    }
}
