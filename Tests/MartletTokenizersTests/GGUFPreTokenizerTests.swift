import MartletJSON
import Testing

@testable import MartletTokenizers

@Suite struct GGUFPreTokenizerTests {
    static let names = [
        "default", "gpt-2", "smollm", "starcoder", "refact", "command-r", "llama3", "llama-bpe", "falcon3", "dbrx",
        "smaug-bpe", "chatglm-bpe", "glm4", "qwen2", "qwen35", "deepseek-r1-qwen", "deepseek-llm", "deepseek-coder",
        "deepseek-v3", "falcon", "mpt", "olmo", "bloom", "viking", "tekken", "gpt-4o", "llama4", "bailingmoe",
        "seed-coder", "minicpm5", "stablelm2", "hunyuan", "hunyuan-dense",
    ]

    /// Every pattern compiles, and cuts text without losing any of it.
    @Test(arguments: names) func losesNothing(_ name: String) throws {
        var vocabulary = GGUFVocabulary(
            model: "gpt2", pre: name, tokens: ByteLevel.characters.map { Array(String($0).utf8) })
        vocabulary.bos = 0
        let tokenizer = try Tokenizer(gguf: vocabulary)
        for string in try FixtureFile.json("pre-tokenizers.json")["strings"].strings {
            let expected = name == "qwen2" ? UnicodeNormalization.nfc.normalize(string) : string
            #expect(tokenizer.encode(bytes: string) == expected.map { TokenID($0) }, "\(shown(string))")
        }
    }

    /// Words that tell the pre-tokenizers apart.
    @Test(arguments: [
        ("gpt-2", "x's 12345 I'LL\n\n a", ["x", "'s", " 12345", " I", "'", "LL", "\n\n", " a"]),
        ("smollm", "x's 123", ["x", "'s", " ", "1", "2", "3"]),
        ("llama-bpe", "x's 12345 I'LL\n\n a", ["x", "'s", " ", "123", "45", " I", "'LL", "\n\n", " a"]),
        ("qwen2", "123 .x", ["1", "2", "3", " .", "x"]),
        ("deepseek-v3", "1234世界x_y", ["123", "4", "世界", "x", "_y"]),
        ("deepseek-llm", "ab 世界12\n", ["ab", " ", "世界", "12", "\n"]),
        ("gpt-4o", "HTTPServer can't", ["HTTPServer", " can't"]),
        ("tekken", "fooBar12", ["foo", "Bar", "1", "2"]),
        ("falcon", "a,1234", ["a", ",", "123", "4"]),
    ])
    func words(_ name: String, _ text: String, _ expected: [String]) throws {
        let pre = try #require(GGUFPreTokenizer(named: name))
        let stage = PreTokenizer.sequence(
            try pre.patterns.map { .split(try RegexProgram($0), .isolated, inverted: false) })
        var pieces = PreTokenizedText(Array(text.utf8), isFirst: true)
        stage.words(of: &pieces)
        #expect(pieces.words.map { String(decoding: pieces.bytes[$0], as: UTF8.self) } == expected)
    }
}
