import Foundation
import MartletJinja
import TestSupport
import Testing

@testable import MartletTokenizers

@Suite struct ChatTemplateTests {
    /// A vocabulary of all bytes and these control tokens, from id 256 on.
    static func tokenizer(_ control: String..., bos: Int? = 256, eos: Int? = 257, addsBOS: Bool = false) throws
        -> Tokenizer
    {
        var vocabulary = GGUFVocabulary(
            model: "gpt2", pre: "gpt-2",
            tokens: ByteLevel.characters.map { Array(String($0).utf8) } + control.map { Array($0.utf8) })
        vocabulary.tokenTypes = [Int32](repeating: 1, count: 256) + control.map { _ in 3 }
        vocabulary.bos = bos
        vocabulary.eos = eos
        vocabulary.addBOS = addsBOS
        return try Tokenizer(gguf: vocabulary)
    }

    private func messages(_ turns: (String, String)...) -> [String: Value] {
        let list = turns.map { Value.dictionary([("role", .string($0.0)), ("content", .string($0.1))]) }
        return ["messages": .list(list), "add_generation_prompt": .bool(true)]
    }

    // MARK: Several templates

    @Test func conversationsWithToolsHaveATemplateOfTheirOwn() throws {
        let tokenizer = try Self.tokenizer("<s>", "</s>")
        let template = try ChatTemplate(
            sources: ["default": "plain", "tool_use": "tools", "rag": "x"], tokenizer: tokenizer)
        #expect(try template.render([:]) == "plain")
        #expect(try template.render(["tools": .null]) == "plain")
        #expect(try template.render(["tools": .list([])]) == "tools")
        let only = try ChatTemplate(sources: ["default": "plain"], tokenizer: tokenizer)
        #expect(try only.render(["tools": .list([])]) == "plain")
        let error = #expect(throws: JinjaError.self) {
            try ChatTemplate(sources: ["rag": "x", "tool_use": "y"], tokenizer: tokenizer)
        }
        #expect(error?.message.contains("rag, tool_use") ?? false)
    }

    @Test func argumentsReachTheTemplate() throws {
        let template = try ChatTemplate(
            "{{ bos_token }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}",
            tokenizer: Self.tokenizer("<s>", "</s>"))
        #expect(try template.render([:]) == "<s>")
        #expect(try template.render(["enable_thinking": .bool(false)]) == "<s><think></think>")
        #expect(try template.render(["bos_token": .string("[")]) == "[")
    }

    // MARK: The first token

    @Test func theFirstTokenIsThereOnce() throws {
        let tokenizer = try Self.tokenizer("<s>", "</s>", addsBOS: true)
        #expect(tokenizer.encode("a", addSpecialTokens: true) == [256, 97])
        let spelled = try ChatTemplate("{{ bos_token }}a", tokenizer: tokenizer)
        #expect(try spelled.tokens([:]) == [256, 97])
        // transformers: a text model's prompt is what its template says.
        #expect(try ChatTemplate("a", tokenizer: tokenizer).tokens([:]) == [97])
        // A processor's prompt gets what the template does not spell.
        for source in ["a", "{{ bos_token }}a"] {
            let template = try ChatTemplate(sources: ["default": source], tokenizer: tokenizer, addsBeginning: true)
            #expect(try template.tokens([:]) == [256, 97])
        }
    }

    // MARK: Text from users

    /// A template that puts parts and names directly behind each other must not put a control token together.
    @Test func partsAndNamesSpellNoControlToken() throws {
        let tokenizer = try Self.tokenizer("<s>", "</s>", "<|im_end|>")
        let joining = try ChatTemplate(
            "{% for p in parts %}{{ p | trim }}{% endfor %}</s>", tokenizer: tokenizer)
        for parts in [["<|im_", "end|>"], ["a<", "|im_end|>"], ["<|im_end| \n", ">"], ["<|im_end|><", "s>"]] {
            let tokens = try joining.tokens(["parts": .list(parts.map(Value.string))])
            let text = parts.map { $0.replacing(" \n", with: "") }.joined()
            #expect(tokens == text.utf8.map(TokenID.init) + [257], "\(parts)")
        }
        let named = try ChatTemplate("{{ tools | tojson }}</s>", tokenizer: tokenizer)
        let tools = Value.list([.dictionary([("<|im_end|>", .int(1)), ("plain", .string("<s>"))])])
        #expect(
            try named.tokens(["tools": tools])
                == #"[{"<|im_end|>": 1, "plain": "<s>"}]"#.utf8.map(TokenID.init) + [257])
    }

    /// Control tokens that are looked for in normalized text, as some older files have them.
    @Test func normalizedTextOfUsersSpellsNoControlToken() throws {
        let json =
            #"{"normalizer": {"type": "NFKC"}, "added_tokens": [{"id": 4, "content": "</s>", "special": true, "normalized": true}], "model": {"type": "BPE", "vocab": {"<": 0, "/": 1, "s": 2, ">": 3}, "merges": []}}"#
        let tokenizer = try Tokenizer(tokenizerJSON: Array(json.utf8))
        let template = try ChatTemplate("{{ text }}{% if ours %}</s>{% endif %}", tokenizer: tokenizer)
        #expect(try template.tokens(["text": .string("s"), "ours": .bool(true)]) == [2, 4])
        for text in ["</s>", "\u{FF1C}/s>"] {
            #expect(try template.tokens(["text": .string(text)]) == [0, 1, 2, 3], "\(text)")
        }
        // Spelled like a control token, and not called special.
        let other = json.replacing("</s>", with: "<|s|>").replacing(#""special": true, "#, with: "")
            .replacing(#""/": 1"#, with: #""|": 1"#)
        let named = try Tokenizer(tokenizerJSON: Array(other.utf8))
        let plain = try ChatTemplate("{{ text }}{% if ours %}<|s|>{% endif %}", tokenizer: named)
        #expect(try plain.tokens(["text": .string("s"), "ours": .bool(true)]) == [2, 4])
        #expect(try plain.tokens(["text": .string("<|s|>")]) == [0, 1, 2, 1, 3])
        #expect(named.encode("<|s|>") == [4])
    }

    /// Added tokens that are no control tokens are words, which templates look for: Qwen3's cuts off what was thought.
    @Test func wordsStayWhatTheyAre() throws {
        var vocabulary = GGUFVocabulary(
            model: "gpt2", pre: "gpt-2",
            tokens: ByteLevel.characters.map { Array(String($0).utf8) }
                + ["<think>", "</think>", "<|im_end|>", "<|user|>"].map { Array($0.utf8) })
        vocabulary.tokenTypes = [Int32](repeating: 1, count: 256) + [4, 4, 3, 4]
        let tokenizer = try Tokenizer(gguf: vocabulary)
        let template = try ChatTemplate(
            "{% if '</think>' in m %}{% set m = m.split('</think>')[-1] %}{% endif %}{{ m }}<|im_end|>",
            tokenizer: tokenizer)
        #expect(try template.tokens(["m": .string("<think>hm</think>7")]) == [55, 258])
        #expect(try template.tokens(["m": .string("<think>7")]) == [256, 55, 258])
        // What is spelled like a turn's beginning is no word, whatever the file calls it.
        for text in ["<|im_end|>", "<|user|>", "</think><|user|>"] {
            let spelled = text.replacing("</think>", with: "").utf8.map(TokenID.init)
            #expect(try template.tokens(["m": .string(text)]) == spelled + [258], "\(text)")
        }
    }

    /// A template that trims messages trims one that is continued, too; another leaves it as it is.
    @Test func whatIsContinuedIsTrimmedWhereTheTemplateDoes() throws {
        let tokenizer = try Self.tokenizer("<s>", "</s>")
        let message = Value.string("It is " + ChatTemplate.endMark + " ")
        for (source, expected) in [
            ("[{{ m | trim }}]", "[It is"), ("[{{ m }}]", "[It is "), ("[{{ m | trim }} ]", "[It is "),
        ] {
            let template = try ChatTemplate(source, tokenizer: tokenizer)
            #expect(try template.render(["m": message], isContinued: true) == expected, "\(source)")
        }
    }

    // MARK: Built in

    @Test func builtInTemplatesAreChosenByRule() throws {
        func choice(_ architecture: String, _ tokenizer: Tokenizer) -> BuiltInChatTemplate? {
            BuiltInChatTemplate(architecture: architecture, tokenizer: tokenizer)
        }
        let chatML = try Self.tokenizer("<|im_start|>", "<|im_end|>")
        #expect(choice("llama", chatML) == .chatML)
        #expect(choice("qwen3", chatML) == .chatML)
        #expect(choice("qwen2", chatML) == .qwen)
        let llama3 = try Self.tokenizer("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")
        #expect(choice("llama", llama3) == .llama3)
        let plain = try Self.tokenizer("<s>", "</s>")
        #expect(choice("llava", plain) == .llava)
        // Too small to be Llama 2's vocabulary.
        #expect(choice("llama", plain) == nil)
        // The words must be control tokens.
        var words = GGUFVocabulary(
            model: "gpt2", pre: "gpt-2", tokens: ["<|im_start|>", "<|im_end|>"].map { Array($0.utf8) })
        words.tokenTypes = [1, 1]
        #expect(choice("llama", try Tokenizer(gguf: words)) == nil)
        var llama2 = GGUFVocabulary(
            model: "llama", tokens: ["<unk>", "<s>", "</s>", "<0x0A>"].map { Array($0.utf8) })
        llama2.tokens += (4..<32000).map { Array("t\($0)".utf8) }
        llama2.tokenTypes = [2, 3, 3, 6] + [Int32](repeating: 1, count: 31996)
        llama2.scores = [Float](repeating: 0, count: 32000)
        #expect(choice("llama", try Tokenizer(gguf: llama2)) == .llama2)
        #expect(choice("phi", try Tokenizer(gguf: llama2)) == nil)
    }

    static let references: [(BuiltInChatTemplate, String)] = [(.llama3, "llama3"), (.chatML, "chatml")]

    /// Against what transformers renders with the published templates.
    @Test(arguments: references) func builtInTemplatesAreThePublishedOnes(
        _ template: BuiltInChatTemplate, _ name: String
    ) throws {
        let url = SharedFixtures.repository.appending(path: "Tests/MartletJinjaTests/Fixtures/chat/\(name).json")
        let fixture = try Value(json: String(decoding: try Data(contentsOf: url), as: UTF8.self))
        guard case .dictionary(let members) = fixture, case .list(let cases)? = members["cases"] else {
            Issue.record("no cases")
            return
        }
        let chat = try ChatTemplate(template.source, tokenizer: Self.tokenizer("<s>", "</s>"))
        var count = 0
        for case .dictionary(let test) in cases.elements {
            guard let expected = test["expected"]?.asString, test["case"]?.asString != "parts",
                case .dictionary(let arguments)? = test["kwargs"]
            else { continue }
            var context = Dictionary(
                uniqueKeysWithValues: zip(arguments.keys.compactMap(\.asString), arguments.values))
            for key in ["messages", "tools", "add_generation_prompt"] { context[key] = test[key] }
            #expect(try chat.render(context) == expected, "\(test["case"]?.asString ?? "")")
            count += 1
        }
        #expect(count >= 15)
    }

    @Test func llama2() throws {
        let chat = try ChatTemplate(BuiltInChatTemplate.llama2.source, tokenizer: Self.tokenizer("<s>", "</s>"))
        // https://huggingface.co/blog/llama2#how-to-prompt-llama-2
        let first = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"
        #expect(try chat.render(messages(("system", "Be brief."), ("user", " Hi "))) == first)
        let turns = messages(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"))
        #expect(try chat.render(turns) == first + " Hello </s><s>[INST] Bye [/INST]")
        #expect(throws: JinjaError.self) { try chat.render(messages(("user", "a"), ("user", "b"))) }
        #expect(throws: JinjaError.self) { try chat.render(messages(("assistant", "a"))) }
    }

    @Test func qwen() throws {
        let chat = try ChatTemplate(
            BuiltInChatTemplate.qwen.source, tokenizer: Self.tokenizer("<|im_start|>", "<|im_end|>"))
        let question = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        #expect(
            try chat.render(messages(("user", "Hi")))
                == "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + question)
        #expect(
            try chat.render(messages(("system", "S"), ("user", "Hi"))) == "<|im_start|>system\nS<|im_end|>\n" + question
        )
    }

    @Test func llava() throws {
        let chat = try ChatTemplate(BuiltInChatTemplate.llava.source, tokenizer: Self.tokenizer("<s>", "</s>"))
        #expect(try chat.render(messages(("user", "Hi"))) == "<s>USER: Hi ASSISTANT:")
        #expect(
            try chat.render(messages(("system", "A chat."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "Bye")))
                == "<s>A chat. USER: Hi ASSISTANT: Hello!</s>USER: Bye ASSISTANT:")
        let parts = try Value(
            json: #"[{"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image"}]}]"#)
        #expect(
            try chat.render(["messages": parts, "add_generation_prompt": .bool(true)])
                == "<s>USER: <image>\nWhat? ASSISTANT:")
    }

    // MARK: Ends

    @Test func answersEndWithTokensThatAreSpelledLikeAnEnd() throws {
        let tokenizer = try Self.tokenizer(
            "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>")
        #expect(tokenizer.endTokens == [257, 258, 259])
        var vocabulary = GGUFVocabulary(
            model: "gpt2", pre: "gpt-2", tokens: ["<end_of_turn>", "<|im_end|>", "a"].map { Array($0.utf8) })
        vocabulary.tokenTypes = [1, 3, 1]
        vocabulary.eot = 2
        // An ordinary word ends nothing, however it is spelled; what the file calls an end does.
        #expect(try Tokenizer(gguf: vocabulary).endTokens == [2, 1])
        #expect(try Self.tokenizer(bos: nil, eos: nil).endTokens == [])
    }
}
