internal import Foundation
import MartletJSON

extension JSONValue {
    /// The `type` of a stage; every stage has one.
    fileprivate func type(of stage: String) throws(TokenizerError) -> String {
        guard let type = self["type"].text else { throw .malformed("a \(stage) without a type") }
        return type
    }

    fileprivate func requiredText(_ key: String) throws(TokenizerError) -> String {
        guard let text = self[key].text else { throw .malformed("\(self["type"].text ?? "a stage") without \(key)") }
        return text
    }

    /// A boolean that may be absent.
    func flag(_ key: String, default value: Bool) throws(TokenizerError) -> Bool {
        if self[key].isNull { return value }
        guard let flag = self[key].bool else { throw .malformed("\(name): \(key) is not a boolean") }
        return flag
    }

    /// A list that may be absent.
    func list(_ key: String) throws(TokenizerError) -> [JSONValue] {
        if self[key].isNull { return [] }
        guard let list = self[key].array else { throw .malformed("\(name): \(key) is not a list") }
        return list
    }

    /// What errors call the stage.
    private var name: String { self["type"].text ?? "a stage" }

    /// `{"String": …}` or `{"Regex": …}`.
    fileprivate func pattern(_ key: String) throws(TokenizerError) -> RegexProgram {
        if let pattern = self[key]["Regex"].text { return try RegexProgram(pattern) }
        guard let literal = self[key]["String"].text ?? self[key].text else {
            throw .malformed("\(self["type"].text ?? "a stage") without \(key)")
        }
        let scalars = literal.unicodeScalars.map { RegexNode.set(ScalarSet($0)) }
        return try RegexProgram(.sequence(scalars), pattern: literal)
    }
}

extension Normalizer {
    init?(json: JSONValue) throws(TokenizerError) {
        if json.isNull { return nil }
        let type = try json.type(of: "normalizer")
        switch type {
        case "Sequence":
            var stages: [Normalizer] = []
            for stage in try json.list("normalizers") {
                if let stage = try Normalizer(json: stage) { stages.append(stage) }
            }
            self = .sequence(stages)
        case "NFC": self = .unicode(.nfc)
        case "NFD": self = .unicode(.nfd)
        case "NFKC": self = .unicode(.nfkc)
        case "NFKD": self = .unicode(.nfkd)
        case "Lowercase": self = .lowercase
        case "Strip":
            self = .strip(
                left: try json.flag("strip_left", default: true), right: try json.flag("strip_right", default: true))
        case "StripAccents": self = .stripAccents
        case "Prepend": self = .prepend(Array(try json.requiredText("prepend").utf8))
        case "Replace":
            let content = Array(try json.requiredText("content").utf8)
            // An empty pattern matches everywhere: that is the regular expression's business.
            if let text = json["pattern"]["String"].bytes, !text.isEmpty {
                self = .replaceText(text, with: content)
            } else {
                self = .replace(try json.pattern("pattern"), with: content)
            }
        case "Nmt": self = .nmt
        case "Precompiled":
            guard let data = Data(base64Encoded: try json.requiredText("precompiled_charsmap")) else {
                throw .malformed("precompiled_charsmap is not Base64")
            }
            self = .precompiled(try PrecompiledCharacterMap(Array(data)))
        default: throw .unsupported("the normalizer \"\(type)\"")
        }
    }
}

extension PreTokenizer {
    init?(json: JSONValue) throws(TokenizerError) {
        if json.isNull { return nil }
        let type = try json.type(of: "pre_tokenizer")
        switch type {
        case "Sequence":
            var stages: [PreTokenizer] = []
            for stage in try json.list("pretokenizers") {
                if let stage = try PreTokenizer(json: stage) { stages.append(stage) }
            }
            self = .sequence(stages)
        case "ByteLevel":
            let pattern =
                try json.flag("use_regex", default: true) ? try RegexProgram(GGUFPreTokenizer.Pattern.gpt2) : nil
            self = .byteLevel(addsPrefixSpace: try json.flag("add_prefix_space", default: true), pattern: pattern)
        case "Split":
            self = .split(
                try json.pattern("pattern"), try Behavior(json["behavior"].text ?? ""),
                inverted: try json.flag("invert", default: false))
        case "Digits":
            let numbers = RegexNode.set(UnicodeProperties.numbers)
            self = .split(
                try RegexProgram(numbers, pattern: "Digits"),
                try json.flag("individual_digits", default: false) ? .isolated : .contiguous, inverted: false)
        case "Punctuation":
            // ASCII's symbols count as punctuation here.
            let set = UnicodeProperties.punctuation.union(
                ScalarSet([0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E]))
            let behavior = json["behavior"].text.map { $0 } ?? "Isolated"
            self = .split(try RegexProgram(.set(set), pattern: "Punctuation"), try Behavior(behavior), inverted: false)
        case "WhitespaceSplit":
            let spaces = RegexNode.set(UnicodeProperties.whitespace)
            self = .split(try RegexProgram(spaces, pattern: "WhitespaceSplit"), .removed, inverted: false)
        case "Whitespace":
            let word = UnicodeProperties.unicodeWord
            let other = word.union(UnicodeProperties.whitespace).inverted
            let node = RegexNode.alternation(
                [word, other].map { .repetition(.set($0), minimum: 1, maximum: nil, greed: .greedy) })
            self = .split(try RegexProgram(node, pattern: "Whitespace"), .removed, inverted: true)
        case "CharDelimiterSplit":
            self = .split(try json.pattern("delimiter"), .removed, inverted: false)
        case "Metaspace":
            self = try Self.metaspace(json)
        default: throw .unsupported("the pre-tokenizer \"\(type)\"")
        }
    }

    private static func metaspace(_ json: JSONValue) throws(TokenizerError) -> PreTokenizer {
        let prepend: Prepend
        switch json["prepend_scheme"].text {
        case "always": prepend = .always
        case "first": prepend = .first
        case "never": prepend = .never
        // Files before prepend_scheme say add_prefix_space.
        case nil: prepend = try json.flag("add_prefix_space", default: true) ? .always : .never
        case .some(let name): throw .unsupported("the prepend_scheme \"\(name)\"")
        }
        let replacement = json["replacement"].bytes ?? Array("▁".utf8)
        return .metaspace(replacement: replacement, prepend: prepend, splits: try json.flag("split", default: true))
    }
}

extension PreTokenizer.Behavior {
    fileprivate init(_ name: String) throws(TokenizerError) {
        switch name {
        case "Removed": self = .removed
        case "Isolated": self = .isolated
        case "MergedWithPrevious": self = .mergedWithPrevious
        case "MergedWithNext": self = .mergedWithNext
        case "Contiguous": self = .contiguous
        default: throw .unsupported("the split behavior \"\(name)\"")
        }
    }
}

extension PostProcessor {
    init(json: JSONValue, _ tokens: ByteStringTable) throws(TokenizerError) {
        self.init()
        if json.isNull { return }
        let type = try json.type(of: "post_processor")
        switch type {
        case "ByteLevel": break  // moves offsets, not tokens
        case "Sequence":
            for stage in try json.list("processors") {
                let inner = try PostProcessor(json: stage, tokens)
                prefix = inner.prefix + prefix
                suffix += inner.suffix
            }
        case "TemplateProcessing": try readTemplate(json, tokens)
        case "BertProcessing", "RobertaProcessing":
            prefix = [try Self.token(json["cls"].array?.last, tokens)]
            suffix = [try Self.token(json["sep"].array?.last, tokens)]
        default: throw .unsupported("the post-processor \"\(type)\"")
        }
    }

    private mutating func readTemplate(_ json: JSONValue, _ tokens: ByteStringTable) throws(TokenizerError) {
        var hasText = false
        for piece in try json.list("single") {
            if let name = piece["SpecialToken"]["id"].text {
                guard let ids = json["special_tokens"][name]["ids"].array else {
                    throw .malformed("the template names \(name), which is not among its special tokens")
                }
                for id in ids {
                    let id = try Self.token(id, tokens)
                    if hasText { suffix.append(id) } else { prefix.append(id) }
                }
            } else {
                guard !hasText else { throw .unsupported("a template that repeats the text") }
                hasText = true
            }
        }
        guard hasText else { throw .unsupported("a template without the text") }
    }

    private static func token(_ json: JSONValue?, _ tokens: ByteStringTable) throws(TokenizerError) -> TokenID {
        guard let id = json?.integer.flatMap({ TokenID(exactly: $0) }), tokens.contains(id) else {
            throw .malformed("the post-processor has a token id out of range")
        }
        return id
    }
}

extension Decoder {
    init(json: JSONValue, spelled: ByteStringTable) throws(TokenizerError) {
        // Without a decoder the reference puts spaces between tokens.
        self.init(try Self.steps(json), separator: json.isNull ? [0x20] : [], spelled: spelled)
    }

    private static func steps(_ json: JSONValue) throws(TokenizerError) -> [Step] {
        if json.isNull { return [] }
        let stages = json["type"].text == "Sequence" ? try json.list("decoders") : [json]
        var steps: [Step] = []
        /// After `Fuse` the tokens are one text.
        var isFused = false
        for stage in stages {
            let type = try stage.type(of: "decoder")
            switch type {
            case "ByteLevel": steps.append(.byteLevel)
            case "ByteFallback": steps.append(.byteFallback)
            case "Fuse": isFused = true
            case "Replace":
                guard let old = stage["pattern"]["String"].bytes else {
                    throw .unsupported("a Replace decoder of a pattern")
                }
                steps.append(.replace(old, with: Array(try stage.requiredText("content").utf8)))
            case "Metaspace":
                let replacement = stage["replacement"].bytes ?? Array("▁".utf8)
                let isNever = stage["prepend_scheme"].text == "never" || stage["add_prefix_space"].bool == false
                steps.append(.replace(replacement, with: [0x20]))
                if !isNever { steps.append(.dropFirstTokensSpaces) }
            case "Strip":
                let content = stage["content"].bytes ?? [0x20]
                let start = stage["start"].integer ?? 0
                let stop = stage["stop"].integer ?? 0
                guard content.count == 1, start >= 0, stop >= 0, start <= 64, stop <= 64 else {
                    throw .unsupported("a Strip decoder of this kind")
                }
                if !isFused {
                    steps.append(.strip(byte: content[0], start: start, stop: stop))
                } else if content == [0x20], stop == 0 {
                    steps.append(.stripLeadingSpaces(start))
                } else {
                    throw .unsupported("a Strip decoder at the end of the text")
                }
            default: throw .unsupported("the decoder \"\(type)\"")
            }
        }
        return steps
    }
}
