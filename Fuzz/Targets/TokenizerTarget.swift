import Foundation
import MartletGrammar
import MartletTokenizers

extension FuzzTarget {
    /// The bytes are a `tokenizer.json`; what it makes of some texts has to be tokens, and a text again.
    static let tokenizer = FuzzTarget(name: "tokenizer", longest: 16384) {
        var seeds = try fixtures("MartletTokenizersTests/Fixtures/variants", longest: 16384)
        // Each stage alone, in front of a tiny model.
        for (file, member) in [("normalizers", "normalizer"), ("pre-tokenizers", "pre_tokenizer")] {
            let data = try fixture("MartletTokenizersTests/Fixtures/\(file).json")
            let document = try JSONSerialization.jsonObject(with: data) as? [String: Any]
            for entry in document?["cases"] as? [[String: Any]] ?? [] {
                guard let stage = entry["stage"] else { continue }
                let tokenizer: [String: Any] = [
                    member: stage,
                    "added_tokens": [["id": 5, "content": "<s>", "special": true, "lstrip": true]],
                    "model": [
                        "type": "BPE", "vocab": ["a": 0, "b": 1, "ab": 2, "<unk>": 3, "▁": 4], "unk_token": "<unk>",
                        "merges": ["a b"],
                    ],
                ]
                seeds.append(Array(try JSONSerialization.data(withJSONObject: tokenizer, options: .sortedKeys)))
            }
        }
        return seeds
    } read: { bytes in
        let tokenizer: Tokenizer
        do {
            tokenizer = try Tokenizer(tokenizerJSON: bytes)
        } catch {
            precondition(!"\(error)".isEmpty)
            return
        }
        for text in texts {
            for isOurs in [false, true] {
                let ids = tokenizer.encode(text, addSpecialTokens: isOurs, parseSpecial: isOurs)
                precondition(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains(Int($0)) })
                consume(tokenizer.decode(ids, skipSpecialTokens: isOurs).utf8.count)
                var stream = StreamingDetokenizer(tokenizer)
                for id in ids { consume(stream.append(id).utf8.count) }
                consume(stream.finish().utf8.count)
            }
        }
        consume(TokenTrie(tokenizer).text(0).count)
    }

    private static let texts = [
        "", " ", "ab", " Anne's  Café <s>ab</s>\n\n12345\t😀é", String(repeating: "ab ", count: 20),
        String(repeating: "a", count: 100), "\u{0}\u{301}ⅷ\u{200D}\r\n" + ChatTemplate.endMark,
    ]
}
