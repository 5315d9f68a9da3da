import TestSupport
import Testing

@testable import MartletTokenizers

@Suite struct StreamingDetokenizerTests {
    /// A vocabulary of all single bytes, so that any byte sequence can be streamed.
    private static func bytesTokenizer() throws -> Tokenizer {
        try Tokenizer(
            gguf: GGUFVocabulary(
                model: "gpt2", pre: "gpt-2", tokens: ByteLevel.characters.map { Array(String($0).utf8) }))
    }

    @Test func neverHalfACharacter() throws {
        let tokenizer = try Self.bytesTokenizer()
        let text = "aé€👩‍👩‍👧\u{301}\r\n\u{10FFFF}\u{FEFF}"
        var stream = StreamingDetokenizer(tokenizer)
        var parts: [String] = []
        for byte in text.utf8 { parts.append(stream.append(TokenID(byte))) }
        #expect(stream.finish().isEmpty)
        #expect(Array(parts.joined().utf8) == Array(text.utf8))
        // One scalar comes with its last byte, nothing before.
        #expect(parts.filter { !$0.isEmpty }.count == text.unicodeScalars.count)
        #expect(!parts.joined().unicodeScalars.contains("\u{FFFD}"))
    }

    @Test func randomBytesAsInDecode() throws {
        let tokenizer = try Self.bytesTokenizer()
        var generator = TestGenerator(seed: 9)
        for _ in 0..<3000 {
            let lead: [UInt8] = [
                0x41, 0xC3, 0xE2, 0xED, 0xF0, 0xF4, 0xE0, 0xC0, 0xFF, 0x80, 0x9F, 0xA0, 0xBF, 0x90, 0x8F,
            ]
            let ids = (0..<Int.random(in: 0...8, using: &generator)).map { _ in
                TokenID(lead.randomElement(using: &generator) ?? 0)
            }
            var stream = StreamingDetokenizer(tokenizer)
            let streamed = ids.map { stream.append($0) }.joined() + stream.finish()
            #expect(Array(streamed.utf8) == Array(tokenizer.decode(ids).utf8), "\(ids)")
        }
    }

    @Test func unfinishedCharacterIsReplacedAtTheEnd() throws {
        var stream = StreamingDetokenizer(try Self.bytesTokenizer())
        #expect(stream.append(0xE2) == "" && stream.append(0x82) == "")
        #expect(stream.finish() == "\u{FFFD}")
        #expect(stream.finish() == "")
    }

    @Test func leadingSpaceOfSentencePiece() throws {
        let tokenizer = try Tokenizer(tokenizerJSON: try FixtureFile.bytes("synthetic/unigram-bytes.json"))
        var stream = StreamingDetokenizer(tokenizer)
        let ids = tokenizer.encode("the sea")
        let streamed = ids.map { stream.append($0) }.joined() + stream.finish()
        #expect(streamed == tokenizer.decode(ids))
        #expect(streamed == "the sea")
        var continued = StreamingDetokenizer(tokenizer, continuesText: true)
        #expect(ids.map { continued.append($0) }.joined() + continued.finish() == " the sea")
    }

    @Test func idsOutOfRangeAddNothing() throws {
        let tokenizer = try Self.bytesTokenizer()
        var stream = StreamingDetokenizer(tokenizer)
        #expect(stream.append(-1) == "" && stream.append(256) == "" && stream.append(.max) == "")
        #expect(tokenizer.decode([.min, 65, 1 << 30]) == "A")
        #expect(tokenizer.tokenBytes(-5).isEmpty && tokenizer.tokenBytes(300).isEmpty)
        #expect(tokenizer.spelling(of: 300) == nil)
    }
}
