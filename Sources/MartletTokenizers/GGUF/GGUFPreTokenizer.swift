/// What `tokenizer.ggml.pre` stands for. GGUF files name a pre-tokenizer instead of describing it; the patterns are those of
/// the models' own `tokenizer.json`.
struct GGUFPreTokenizer {
    var patterns: [String]
    var normalizer: UnicodeNormalization?
    var ignoresMerges = false
    /// Whether the text starts with the beginning-of-sequence token where the file does not say.
    var addsBOS = false

    init?(named name: String) {
        switch name {
        // A file without a name was converted before there were names.
        case "default":
            patterns = [#"[\p{P}\$\+<=>\^~\|]+"#, Pattern.gpt2, #"\p{N}+"#, "[0-9][0-9][0-9]"]
        case "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat", "a.x-4.0", "mellum",
            "modern-bert", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling", "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe":
            patterns = [Pattern.gpt2]
        case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2":
            patterns = [#"\p{N}"#, Pattern.gpt2]
        case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano":
            patterns = [Pattern.llama3]
            ignoresMerges = true
            addsBOS = true
        case "dbrx", "smaug-bpe", "chatglm-bpe":
            patterns = [Pattern.llama3]
        case "glm4", "glm5":
            patterns = [Pattern.llama3]
            ignoresMerges = true
        case "qwen2":
            patterns = [Pattern.qwen2]
            normalizer = .nfc
        case "qwen35":
            patterns = [Pattern.qwen35]
            normalizer = .nfc
        case "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2":
            patterns = [Pattern.qwen2]
        case "deepseek-llm":
            patterns = [
                #"[\r\n]"#, Pattern.deepseekLetters, #"\s?[!-/:-~！-／：-～‘-‟　-。]+"#, #"\s+$"#, Pattern.deepseekIdeographs,
                #"\p{N}+"#,
            ]
        case "deepseek-coder":
            patterns = [#"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, Pattern.deepseekIdeographs, #"\p{N}"#]
        case "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4":
            patterns = [#"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+", Pattern.deepseek3]
        case "falcon":
            patterns = [#"[\p{P}\$\+<=>\^~\|`]+"#, Pattern.gpt2, "[0-9][0-9][0-9]"]
        case "bloom", "poro-chat", "gpt3-finnish":
            patterns = [Pattern.bloom]
        case "viking":
            patterns = [Pattern.bloom, #"\p{N}"#]
        case "tekken":
            patterns = [Pattern.tekken]
            ignoresMerges = true
            addsBOS = true
        case "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2":
            patterns = [Pattern.gpt4o]
        case "bailingmoe", "bailingmoe2", "llada-moe":
            patterns = [Pattern.bailing]
        case "seed-coder":
            patterns = [Pattern.seedCoder]
        case "minicpm5":
            patterns = [#"\p{N}{1,3}"#, Pattern.llama3.replacing(#"\p{N}{1,3}"#, with: #"\p{N}+"#)]
            ignoresMerges = true
        default: return nil
        }
    }

    /// Regular expressions as the models' publishers wrote them.
    enum Pattern {
        static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
        static let llama3 =
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"#
            + #"\s*[\r\n]+|\s+(?!\S)|\s+"#
        static let qwen2 = llama3.replacing(#"\p{N}{1,3}"#, with: #"\p{N}"#)
        static let qwen35 =
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"#
            + #"\s*[\r\n]+|\s+(?!\S)|\s+"#
        static let deepseek3 =
            ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"##
            + #" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        static let deepseekIdeographs = "[一-龥ࠀ-一가-퟿]+"
        /// Letters of scripts with case.
        static let deepseekLetters =
            #"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅ"#
            + #"ὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎ"#
            + #"ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"#
        static let bloom = #" ?[^(\s|[.,!?…。，、।۔،])]+"#
        private static let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
        private static let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
        static let tekken =
            #"[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + #"+|[^\r\n\p{L}\p{N}]?"# + upper + "+" + lower
            + #"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        private static let contraction = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#
        static let gpt4o =
            #"[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + "+" + contraction + #"|[^\r\n\p{L}\p{N}]?"# + upper + "+"
            + lower
            + "*" + contraction + #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        static let bailing =
            #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|"#
            + #"\s*[\r\n]|\s+(?!\S)|\s+"#
        static let seedCoder =
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|"#
            + #"\s*[\r\n]+|\s+(?!\S)|\s+"#
    }
}
