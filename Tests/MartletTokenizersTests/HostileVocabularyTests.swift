import MartletJSON
import TestSupport
import Testing

@testable import MartletTokenizers

/// Files that are wrong or malicious: an error or defined behaviour, never a trap.
@Suite struct HostileVocabularyTests {
    private func vocabulary(_ tokens: [String], model: String = "gpt2") -> GGUFVocabulary {
        GGUFVocabulary(model: model, pre: "gpt-2", tokens: tokens.map { Array($0.utf8) })
    }

    @Test func refusedMetadata() {
        func refuses(_ what: String, _ change: (inout GGUFVocabulary) -> Void) {
            var vocabulary = vocabulary(["a", "b"])
            change(&vocabulary)
            let error = #expect(throws: TokenizerError.self, "\(what)") { try Tokenizer(gguf: vocabulary) }
            #expect(error?.message.contains(what) ?? false, "\(String(describing: error))")
        }
        refuses("no such pre-tokenizer") { $0.pre = "no such pre-tokenizer" }
        refuses("no such model") { $0.model = "no such model" }
        refuses("0 tokens") { $0.tokens = [] }
        refuses("3 token types") { $0.tokenTypes = [1, 1, 1] }
        refuses("bos") { $0.bos = 2 }
        refuses("eos") { $0.eos = -1 }
        refuses("padding") { $0.padding = .max }
        refuses("0 scores") { $0.model = "llama" }
    }

    @Test func oddTokensAreHarmless() throws {
        var vocabulary = vocabulary(["a", "b", "a", "", "", "ab", "Ġ"])
        vocabulary.tokens.append([0xFF, 0xC3])  // not UTF-8
        vocabulary.tokens.append([0xC4])  // half a character of the alphabet
        vocabulary.tokenTypes = [1, 1, 1, 1, 3, 1, 99, 1, -7]
        vocabulary.merges = ["a b", "a", "", "x y", "b Ġ", " ", "  ", "a  b"].map { Array($0.utf8) }
        vocabulary.merges.append([0xFF, 0x20, 0xFE])
        let tokenizer = try Tokenizer(gguf: vocabulary)
        // Of equal tokens the last counts; merges of tokens that do not exist are skipped; missing bytes are dropped.
        #expect(tokenizer.encode("a") == [2])
        #expect(tokenizer.encode("abx") == [5])
        #expect(tokenizer.decode([7, 8, 3, 4]) == "\u{FFFD}\u{FFFD}\u{FFFD}")
        #expect(tokenizer.encode("") == [])
    }

    @Test func sentencePieceScores() throws {
        var vocabulary = vocabulary(["a", "b", "ab", "ba", "▁", "<0xC3>", ""], model: "llama")
        vocabulary.scores = [.nan, .infinity, -.infinity, .nan, 0, -0.0, 1]
        vocabulary.tokenTypes = [1, 1, 1, 1, 1, 6, 1]
        let tokenizer = try Tokenizer(gguf: vocabulary)
        #expect(tokenizer.encode("ab").count == 2)
        #expect(tokenizer.encode("é").count <= 2)
        #expect(tokenizer.decode([4, 0]) == "a")
    }

    @Test(arguments: [
        "", "{", "[]", "{}", "null", #"{"model": {}}"#, #"{"model": {"type": "WordPiece", "vocab": {}}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 2147483647}, "merges": []}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 1e3}, "merges": []}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 99999999999999999999}, "merges": []}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b c"]}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}}"#,
        #"{"model": {"type": "Unigram", "unk_id": 7, "vocab": [["a", 0.5]]}}"#,
        #"{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.5, 1]]}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [{"id": -1, "content": "x"}]}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [{"content": "x"}]}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "decoder": {"type": "Rot13"}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "normalizer": {"type": "Rot13"}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "post_processor": {"type": "BertProcessing", "cls": ["a", 9], "sep": ["a", 0]}}"#,
    ])
    func refusedFiles(_ text: String) {
        // `{}` and `{"model": {}}` have no vocabulary: that is an empty one, which encodes everything to nothing.
        if let tokenizer = try? Tokenizer(tokenizerJSON: Array(text.utf8)) {
            #expect(text == "{}" || text == #"{"model": {}}"#)
            #expect(tokenizer.encode("abc") == [] && tokenizer.vocabularySize == 0)
        }
    }

    /// Stages that are not what they should be, each by itself: the error says what is wrong.
    @Test(arguments: [
        (#""normalizer": {"type": "Sequence", "normalizers": "NFC"}"#, "normalizers is not a list"),
        (#""normalizer": {"type": "Sequence", "normalizers": [5]}"#, "without a type"),
        (#""normalizer": {"type": "Strip", "strip_left": "yes"}"#, "strip_left is not a boolean"),
        (#""normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}"#, "("),
        (#""normalizer": {"type": "Replace", "pattern": {"Regex": "(a{1000}){1000}"}, "content": ""}"#, "pattern"),
        (#""normalizer": {"type": "Replace", "pattern": 5, "content": ""}"#, "without pattern"),
        (#""normalizer": {"type": "Replace", "pattern": {"String": "a"}}"#, "without content"),
        (#""normalizer": {"type": "Prepend"}"#, "without prepend"),
        (#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}"#, "Base64"),
        (#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}"#, "precompiled_charsmap"),
        (#""normalizer": "NFC""#, "without a type"),
        (#""pre_tokenizer": {"type": "ByteLevel", "use_regex": 1}"#, "use_regex is not a boolean"),
        (#""pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "often"}"#, "often"),
        (#""pre_tokenizer": {"type": "Sequence", "pretokenizers": {}}"#, "pretokenizers is not a list"),
        (#""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": 1}"#, "split behavior"),
        (#""post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}"#, "<s>"),
        (#""post_processor": {"type": "TemplateProcessing", "single": []}"#, "without the text"),
        (#""post_processor": {"type": "Sequence", "processors": 1}"#, "processors is not a list"),
        (#""post_processor": {"type": "RobertaProcessing", "cls": ["a", 1e99], "sep": ["a", 0]}"#, "out of range"),
        (#""decoder": {"type": "Sequence", "decoders": true}"#, "decoders is not a list"),
        (#""decoder": {"type": "Strip", "content": "ab", "start": 1}"#, "Strip"),
        (#""decoder": {"type": "Strip", "content": "a", "start": -1}"#, "Strip"),
        (#""added_tokens": {"a": 1}"#, "added_tokens is not a list"),
        (#""added_tokens": [{"id": 0.5, "content": "x"}]"#, "without id"),
        (#""added_tokens": [{"id": 2147483647, "content": "x"}]"#, "2147483647"),
        (#""added_tokens": [{"id": 1, "content": "x", "special": "true"}]"#, "special is not a boolean"),
    ])
    func malformedStages(_ member: String, _ reason: String) {
        let text = #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, \#(member)}"#
        let error = #expect(throws: TokenizerError.self, "\(member)") { try Tokenizer(tokenizerJSON: Array(text.utf8)) }
        #expect(error?.message.contains(reason) ?? false, "\(member): \(String(describing: error))")
    }

    /// Files with bytes cut off, changed and swapped: an error or a tokenizer that works.
    @Test(arguments: ["bpe-single-unknown", "byte-level-added", "unigram-bytes"]) func damagedFiles(_ name: String)
        throws
    {
        let original = try FixtureFile.bytes("synthetic/\(name).json")
        var generator = TestGenerator(seed: 1)
        // The stages stand before the model: damage them more often than the long vocabulary.
        let head = original.count / 8
        for _ in 0..<150 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let limit = Bool.random(using: &generator) ? head : bytes.count
                let position = Int.random(in: 0..<max(min(limit, bytes.count), 1), using: &generator)
                switch Int.random(in: 0...3, using: &generator) {
                case 0: bytes.removeLast(Int.random(in: 0...8, using: &generator))
                case 1: bytes[position] = UInt8.random(in: 0...255, using: &generator)
                case 2: bytes.swapAt(position, Int.random(in: 0..<bytes.count, using: &generator))
                default: bytes[position] = Array("{}[]\",:0123456789".utf8).randomElement(using: &generator) ?? 0
                }
            }
            if let tokenizer = try? Tokenizer(tokenizerJSON: bytes) {
                let ids = tokenizer.encode(
                    "The sea, Anne's <mask> é\u{301} 世界  \n42", addSpecialTokens: true, parseSpecial: true)
                #expect(ids.allSatisfy { $0 >= 0 })
                _ = tokenizer.decode(ids)
            }
        }
    }

    @Test func deepJSON() {
        let text = String(repeating: "[", count: 100_000)
        #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: Array(#"{"x": "#.utf8) + Array(text.utf8)) }
    }

    @Test(arguments: [
        #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, #""\x""#, "\"a", "\"\u{1}\"", "tru", "1.2.3", "-", "[1,]",
        "{\"a\"}",
    ])
    func badJSON(_ text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: Array(text.utf8)) }
    }

    @Test func jsonEscapes() throws {
        var reader = try JSONReader(Array(#""\u00e9\ud83d\ude00\n\/\\\"\u0000e\u0301""#.utf8))
        try reader.string()
        #expect(reader.scratch == Array("\u{E9}😀\n/\\\"\0e\u{301}".utf8))
    }

    /// A text of users may be no UTF-8 at all.
    @Test func textThatIsNotUTF8() throws {
        let tokenizer = try Tokenizer(tokenizerJSON: try FixtureFile.bytes("synthetic/byte-level-added.json"))
        let ids = tokenizer.encode(bytes: [0x61, 0xFF, 0xE2, 0x82, 0x62])
        #expect(ids == tokenizer.encode("a\u{FFFD}\u{FFFD}b"))
    }
}
