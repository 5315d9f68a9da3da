import MartletJSON
import Testing

@testable import MartletTokenizers

/// Single stages of tokenizer.json against the reference library.
@Suite struct StageTests {
    @Test func preTokenizers() throws {
        let fixture = try FixtureFile.json("pre-tokenizers.json")
        let strings = fixture["strings"].strings
        let cases = try #require(fixture["cases"].array)
        #expect(cases.count > 40)
        for entry in cases {
            let stage = try #require(try PreTokenizer(json: entry["stage"]))
            let expected = try #require(entry["words"].array)
            for (string, words) in zip(strings, expected) {
                var text = PreTokenizedText(string, isFirst: true)
                stage.words(of: &text)
                var got = text.words.map { Array(text.bytes[$0]) }
                if entry["spells_bytes"].bool == true { got = got.map { ByteLevel.encode($0) } }
                #expect(got == words.strings, "\(entry["stage"]) \(shown(string))")
            }
        }
    }

    @Test func normalizers() throws {
        let fixture = try FixtureFile.json("normalizers.json")
        let strings = fixture["strings"].strings
        for entry in try #require(fixture["cases"].array) {
            let stage = try #require(try Normalizer(json: entry["stage"]))
            for (string, expected) in zip(strings, entry["texts"].strings) {
                #expect(stage.normalize(string) == expected, "\(entry["stage"]) \(shown(string))")
            }
        }
    }

    /// A text that is not normalized at its end only, and marks out of order: no shortcut may skip them.
    @Test func compositionOfMarks() {
        #expect(UnicodeNormalization.nfc.normalize(Array("plain e\u{301}".utf8)) == Array("plain \u{E9}".utf8))
        // Class 220 (below) comes before class 230 (above), and the e composes past it.
        #expect(UnicodeNormalization.nfc.normalize(Array("e\u{301}\u{323}".utf8)) == Array("\u{1EB9}\u{301}".utf8))
        #expect(UnicodeNormalization.nfd.normalize(Array("\u{AC01}".utf8)) == Array("\u{1100}\u{1161}\u{11A8}".utf8))
        #expect(UnicodeNormalization.nfc.normalize(Array("\u{1100}\u{1161}\u{11A8}".utf8)) == Array("\u{AC01}".utf8))
        // Pairs that Foundation composes wrongly, or not.
        #expect(UnicodeNormalization.nfc.normalize(Array("\u{1015B}\u{307}".utf8)) == Array("\u{1015B}\u{307}".utf8))
        #expect(UnicodeNormalization.nfc.normalize(Array("e\u{301}\u{CCB}".utf8)) == Array("\u{E9}\u{CCB}".utf8))
        #expect(
            UnicodeNormalization.nfc.normalize(Array("\u{1D15E}\u{958}".utf8))
                == Array("\u{1D157}\u{1D165}\u{915}\u{93C}".utf8))
        // A blocked mark: two of the same class.
        #expect(UnicodeNormalization.nfc.normalize(Array("a\u{300}\u{301}".utf8)) == Array("\u{E0}\u{301}".utf8))
    }

    /// Foundation's normalization takes minutes for this.
    @Test(.timeLimit(.minutes(1))) func longRunsOfMarks() {
        let text = "a" + String(repeating: "\u{301}\u{323}", count: 100_000)
        let result = UnicodeNormalization.nfc.normalize(Array(text.utf8))
        #expect(result.starts(with: Array("\u{1EA1}\u{323}".utf8)))
        #expect(result.count == text.utf8.count)
    }

    @Test(arguments: [
        #"{"type": "Magic"}"#, #"{"type": "BertPreTokenizer"}"#,
        #"{"type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated"}"#,
        #"{"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Sideways"}"#, #"{"type": "Split"}"#, "{}", "[]",
    ])
    func refusedPreTokenizers(_ text: String) throws {
        var reader = try JSONReader(Array(text.utf8))
        let json = try reader.value()
        #expect(throws: TokenizerError.self) { try PreTokenizer(json: json) }
    }
}
