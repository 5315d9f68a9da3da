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
        /// Letters of scripts with case. By number: some of them change under normalization, which editors may apply.
        static let deepseekLetters =
            #"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}"#
            + #"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}"#
            + #"\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}"#
            + #"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}"#
            + #"\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}"#
            + #"\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}"#
            + #"\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}"#
            + #"\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}"#
            + #"\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}"#
            + #"\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}"#
            + #"\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}"#
            + #"\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}"#
            + #"\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}"#
            + #"\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+"#
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
