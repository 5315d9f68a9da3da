extension Tokenizer {
    /// Values of `tokenizer.ggml.token_type`.
    private enum TokenType {
        static let normal: Int32 = 1
        static let unknown: Int32 = 2
        static let control: Int32 = 3
        static let userDefined: Int32 = 4
        static let unused: Int32 = 5
        static let byte: Int32 = 6
    }

    /// The largest published vocabularies have a quarter of a million tokens.
    static let maximumVocabularySize = 1 << 22

    /// A tokenizer from the metadata of a GGUF file: byte-level BPE ("gpt2"), SentencePiece BPE ("llama") and Unigram ("t5").
    ///
    /// Merges of tokens that the vocabulary lacks are skipped, as in llama.cpp: they can never apply.
    package init(gguf: GGUFVocabulary) throws(TokenizerError) {
        try gguf.validate()
        switch gguf.model {
        case "gpt2": try self.init(byteLevel: gguf)
        case "llama": try self.init(sentencePiece: gguf)
        case "t5": try self.init(unigram: gguf)
        default: throw .unsupported("tokenizer.ggml.model \"\(gguf.model)\"")
        }
    }

    // MARK: Byte-level BPE

    private init(byteLevel gguf: GGUFVocabulary) throws(TokenizerError) {
        let name = gguf.pre ?? "default"
        guard let pre = GGUFPreTokenizer(named: name) else {
            throw .unsupported("tokenizer.ggml.pre \"\(name)\"")
        }
        var words = ByteStringTable(minimumCapacity: gguf.tokens.count)
        for (index, token) in gguf.tokens.enumerated() {
            words.append(gguf.isNormal(index) ? ByteLevel.decode(token) ?? [] : [])
        }
        words.buildIndex()
        let spelled = Self.table(gguf.tokens)

        var merges = PairTable(minimumCapacity: gguf.merges.count)
        for (rank, merge) in gguf.merges.enumerated() {
            // A space separates; in the byte-level alphabet no token holds one.
            guard let space = merge.firstIndex(of: 0x20), let left = ByteLevel.decode(merge[..<space]),
                let right = ByteLevel.decode(merge[(space + 1)...]), let leftID = words.find(left),
                let rightID = words.find(right), let result = words.find(left + right)
            else { continue }
            merges.insert(
                TokenID(leftID), TokenID(rightID), PairTable.Merge(rank: UInt32(rank), result: TokenID(result)))
        }
        var options = BPE.Options()
        options.ignoresMerges = pre.ignoresMerges

        var stages: [PreTokenizer] = []
        for pattern in pre.patterns { stages.append(.split(try RegexProgram(pattern), .isolated, inverted: false)) }
        stages.append(.byteLevel(addsPrefixSpace: false, pattern: nil))

        let normalizer = pre.normalizer.map { Normalizer.unicode($0) }
        let addsBOS = gguf.addBOS ?? pre.addsBOS
        self.init(
            spelled: spelled,
            addedTokens: try AddedTokens(gguf.addedTokens, normalizer: normalizer),
            normalizer: normalizer,
            preTokenizer: .sequence(stages),
            model: .bpe(BPE(alphabet: .bytes, words: words, merges: merges, options: options)),
            postProcessor: gguf.postProcessor(addsBOS: addsBOS, addsEOS: gguf.addEOS ?? false),
            decoder: Decoder([.byteLevel], spelled: spelled),
            specialTokens: gguf.specialTokens)
    }

    // MARK: SentencePiece BPE

    private init(sentencePiece gguf: GGUFVocabulary) throws(TokenizerError) {
        guard gguf.scores.count == gguf.tokens.count else {
            throw .malformed("\(gguf.tokens.count) tokens but \(gguf.scores.count) scores")
        }
        let spelled = Self.table(gguf.tokens)
        var words = spelled
        words.buildIndex { gguf.isNormal($0) || gguf.tokenTypes[$0] == TokenType.byte }
        let merges = Self.merges(of: words, scores: gguf.scores) { gguf.isNormal($0) }

        var options = BPE.Options()
        options.unknown = gguf.unknown.map { TokenID($0) }
        options.fusesUnknown = true
        options.usesByteFallback = true

        let space = Array("▁".utf8)
        let addsSpace = gguf.addSpacePrefix ?? true
        var normalizers: [Normalizer] = addsSpace ? [.prepend(space)] : []
        normalizers.append(.replaceText([0x20], with: space))
        let normalizer = Normalizer.sequence(normalizers)
        self.init(
            spelled: spelled,
            addedTokens: try AddedTokens(gguf.addedTokens, normalizer: normalizer),
            normalizer: normalizer,
            preTokenizer: nil,
            model: .bpe(BPE(alphabet: .scalars, words: words, merges: merges, options: options)),
            postProcessor: gguf.postProcessor(addsBOS: gguf.addBOS ?? true, addsEOS: gguf.addEOS ?? false),
            decoder: Decoder(
                [.replace(space, with: [0x20]), .byteFallback] + (addsSpace ? [.stripLeadingSpaces(1)] : []),
                spelled: spelled),
            specialTokens: gguf.specialTokens)
    }

    /// SentencePiece files have no merges but scores: any two neighbours whose concatenation is a token may join, the highest
    /// score first.
    private static func merges(
        of words: ByteStringTable, scores: [Float], isNormal: (Int) -> Bool
    ) -> PairTable {
        // Equal scores must get equal ranks, so that the leftmost of them merges first. A NaN sorts last.
        func key(_ score: Float) -> Float { score.isNaN ? -.infinity : score }
        let order = (0..<words.count).sorted { key(scores[$0]) > key(scores[$1]) }
        var ranks = [UInt32](repeating: 0, count: words.count)
        var rank: UInt32 = 0
        for (index, token) in order.enumerated() {
            if index > 0, key(scores[token]) != key(scores[order[index - 1]]) { rank += 1 }
            ranks[token] = rank
        }
        var merges = PairTable(minimumCapacity: words.count * 4)
        for token in 0..<words.count where isNormal(token) {
            words.withBytes(of: token) { bytes in
                // Of equal tokens only the one that lookup finds takes part; longer ones are no words anyone wrote.
                guard bytes.count <= maximumMergedLength, words.find(bytes) == token else { return }
                for cut in 1..<max(bytes.count, 1) where bytes[cut] & 0xC0 != 0x80 {
                    guard let left = words.find(UnsafeRawBufferPointer(rebasing: bytes[..<cut])), isNormal(left),
                        let right = words.find(UnsafeRawBufferPointer(rebasing: bytes[cut...])), isNormal(right)
                    else { continue }
                    merges.insert(
                        TokenID(left), TokenID(right), PairTable.Merge(rank: ranks[token], result: TokenID(token)))
                }
            }
        }
        return merges
    }

    // MARK: Unigram

    private init(unigram gguf: GGUFVocabulary) throws(TokenizerError) {
        guard gguf.scores.count == gguf.tokens.count else {
            throw .malformed("\(gguf.tokens.count) tokens but \(gguf.scores.count) scores")
        }
        let spelled = Self.table(gguf.tokens)
        // Control tokens are no pieces of text.
        var words = ByteStringTable(minimumCapacity: gguf.tokens.count)
        var scores: [Double] = []
        for (index, token) in gguf.tokens.enumerated() {
            words.append(gguf.isNormal(index) ? token : [])
            scores.append(gguf.isNormal(index) && !gguf.scores[index].isNaN ? Double(gguf.scores[index]) : 0)
        }
        words.buildIndex()
        var normalizers: [Normalizer] = []
        if !gguf.precompiledCharsMap.isEmpty {
            normalizers.append(.precompiled(try PrecompiledCharacterMap(gguf.precompiledCharsMap)))
        }
        if gguf.removeExtraWhitespaces ?? false {
            normalizers += [.strip(left: true, right: true), .replace(try RegexProgram(" {2,}"), with: [0x20])]
        }
        let normalizer = Normalizer.sequence(normalizers)
        let space = Array("▁".utf8)
        let addsSpace = gguf.addSpacePrefix ?? true
        self.init(
            spelled: spelled,
            addedTokens: try AddedTokens(gguf.addedTokens, normalizer: normalizer),
            normalizer: normalizer,
            preTokenizer: .metaspace(replacement: space, prepend: addsSpace ? .always : .never, splits: true),
            model: .unigram(
                try Unigram(
                    words: words, scores: scores, unknown: gguf.unknown.map { TokenID($0) }, usesByteFallback: false)),
            postProcessor: gguf.postProcessor(addsBOS: gguf.addBOS ?? false, addsEOS: gguf.addEOS ?? true),
            decoder: Decoder(
                [.replace(space, with: [0x20])] + (addsSpace ? [.dropFirstTokensSpaces] : []), spelled: spelled),
            specialTokens: gguf.specialTokens)
    }

    /// Finding a token's halves takes time quadratic in its length.
    private static let maximumMergedLength = 1024

    static func table(_ tokens: [[UInt8]]) -> ByteStringTable {
        var table = ByteStringTable(minimumCapacity: tokens.count)
        for token in tokens { table.append(token) }
        table.buildIndex()
        return table
    }
}

extension GGUFVocabulary {
    fileprivate func validate() throws(TokenizerError) {
        guard !tokens.isEmpty, tokens.count <= Tokenizer.maximumVocabularySize else {
            throw .malformed("a vocabulary of \(tokens.count) tokens")
        }
        guard tokenTypes.isEmpty || tokenTypes.count == tokens.count else {
            throw .malformed("\(tokens.count) tokens but \(tokenTypes.count) token types")
        }
        guard merges.count < Int(UInt32.max) else { throw .malformed("\(merges.count) merges") }
        for (name, id) in [("bos", bos), ("eos", eos), ("eot", eot), ("unknown", unknown), ("padding", padding)] {
            if let id, !tokens.indices.contains(id) { throw .malformed("\(name) token id \(id) is out of range") }
        }
    }

    fileprivate func isNormal(_ index: Int) -> Bool {
        tokenTypes.isEmpty || tokenTypes[index] == 1
    }

    /// Control and unknown tokens are special; user-defined tokens are ordinary words that are always found.
    fileprivate var addedTokens: [AddedTokens.Token] {
        tokenTypes.indices.compactMap { index in
            guard (2...4).contains(tokenTypes[index]) else { return nil }
            return AddedTokens.Token(
                id: TokenID(index), content: tokens[index], isSpecial: tokenTypes[index] != 4)
        }
    }

    fileprivate func postProcessor(addsBOS: Bool, addsEOS: Bool) -> PostProcessor {
        PostProcessor(
            prefix: addsBOS ? bos.map { [TokenID($0)] } ?? [] : [],
            suffix: addsEOS ? eos.map { [TokenID($0)] } ?? [] : [])
    }

    fileprivate var specialTokens: Tokenizer.SpecialTokens {
        var result = Tokenizer.SpecialTokens()
        result.beginningOfSequence = bos.map { TokenID($0) }
        result.endOfSequence = eos.map { TokenID($0) }
        result.endOfTurn = eot.map { TokenID($0) }
        result.unknown = unknown.map { TokenID($0) }
        result.padding = padding.map { TokenID($0) }
        return result
    }
}
