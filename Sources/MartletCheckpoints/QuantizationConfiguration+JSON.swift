import MartletJSON

/// Reading `quantization_config`. Keys: AutoAWQ, AutoGPTQ and GPTQModel, AutoRound, compressed-tensors, transformers' FP8,
/// bitsandbytes.
extension QuantizationConfiguration {
    /// Nil for a model that isn't quantized.
    ///
    /// - Parameter text: the language model's settings.
    init?(_ folder: ModelFolder, _ text: SettingsFile) throws(CheckpointError) {
        guard let (settings, implied) = try Self.settings(folder, text) else { return nil }
        let key = "quant_method"
        let name = try settings.required(settings.string(key) ?? implied?.rawValue, key)
        if name == Self.autoRound {
            try self.init(autoRound: settings)
            return
        }
        guard let method = Method(rawValue: name) else {
            let known = (Method.allCases.map(\.rawValue) + [Self.autoRound]).joined(separator: ", ")
            throw settings.failure(key, "is '\(name)', which is not supported (known: \(known))")
        }
        switch method {
        case .awq: try self.init(awq: settings)
        case .gptq: try self.init(gptq: settings)
        case .compressedTensors: try self.init(compressedTensors: settings)
        case .fp8: try self.init(fp8: settings)
        case .bitsAndBytes: try self.init(bitsAndBytes: settings)
        }
    }

    /// A `quant_method` that is none: its files are laid out as those of other tools.
    private static let autoRound = "auto-round"

    /// Where the folder says how it is quantized, and the method that a file of that name implies.
    private static func settings(
        _ folder: ModelFolder, _ text: SettingsFile
    ) throws(CheckpointError) -> (SettingsFile, Method?)? {
        for file in [folder.settings, text] {
            if let section = try file.section("quantization_config") { return (section, nil) }
            if let section = try file.section("compression_config") { return (section, .compressedTensors) }
        }
        // Before transformers knew of quantization, the tools had files of their own.
        for (name, method) in [("quantize_config.json", Method.gptq), ("quant_config.json", .awq)]
        where folder.has(name) {
            return (try SettingsFile(path: folder.path + "/" + name), method)
        }
        return nil
    }

    private init(awq settings: SettingsFile) throws(CheckpointError) {
        // A backend is the kernels that are to read the layout below, but for one that has a layout of its own.
        if let backend = try settings.string("backend"), backend.lowercased() == "llm-awq" {
            throw settings.failure("backend", "is '\(backend)', a layout which is not supported")
        }
        // "exllama" and "ipex" name kernels for the same layout.
        for key in ["version", "format", "checkpoint_format"] {
            try settings.expect(key, ["gemm", "exllama", "ipex"])
        }
        let bits = try settings.bits(settings.has("bits") ? "bits" : "w_bit", [4])
        let grouping = try settings.grouping(settings.has("group_size") ? "group_size" : "q_group_size")
        let hasZeroPoints = try settings.boolean("zero_point") ?? true
        self.init(
            method: .awq, schemes: [Scheme(bits: bits, grouping: grouping, isSymmetric: !hasZeroPoints)],
            hasOverrides: Self.hasMembers(settings, "dynamic"))
    }

    private init(gptq settings: SettingsFile) throws(CheckpointError) {
        try settings.expect("pack_dtype", ["int32"])
        if try settings.boolean("is_marlin_format") ?? false {
            throw settings.failure("is_marlin_format", "is true, a layout which is not supported")
        }
        let key = settings.has("checkpoint_format") ? "checkpoint_format" : "format"
        try settings.expect(key, ["gptq", "gptq_v2"])
        let format = try settings.string(key)?.lowercased() ?? "gptq"
        self.init(
            method: .gptq,
            schemes: [
                Scheme(
                    bits: try settings.bits("bits", [2, 3, 4, 8]), grouping: try settings.grouping("group_size"),
                    isSymmetric: try settings.boolean("sym"))
            ],
            hasOverrides: Self.hasMembers(settings, "dynamic"),
            hasActivationOrder: try settings.boolean("desc_act") ?? false,
            storesZeroPointsMinusOne: format == "gptq")
    }

    /// `packing_format` says whose layout it is: AutoGPTQ's, with 1 taken from zero points, or AutoAWQ's. The others are read by
    /// AutoRound's own kernels (https://github.com/intel/auto-round, `export_to_autoround`).
    private init(autoRound settings: SettingsFile) throws(CheckpointError) {
        try settings.expect("data_type", ["int"])
        if let bits = try settings.integer("act_bits"), bits < 16 {
            throw settings.failure("act_bits", "is \(bits): rounded activations are not supported")
        }
        let key = "packing_format"
        let format = try settings.required(settings.string(key), key)
        try settings.expect(key, ["auto_round:auto_gptq", "auto_round:auto_awq"])
        let isGPTQ = format.lowercased() == "auto_round:auto_gptq"
        self.init(
            method: isGPTQ ? .gptq : .awq,
            schemes: [
                Scheme(
                    bits: try settings.bits("bits", isGPTQ ? [2, 3, 4, 8] : [4]),
                    grouping: try settings.grouping("group_size"), isSymmetric: try settings.boolean("sym"))
            ],
            hasOverrides: Self.hasMembers(settings, "extra_config"), storesZeroPointsMinusOne: isGPTQ)
    }

    private init(compressedTensors settings: SettingsFile) throws(CheckpointError) {
        try settings.expectFormat()
        if let sparsity = try settings.section("sparsity_config"), let format = try sparsity.string("format"),
            format != "dense"
        {
            throw sparsity.failure("format", "is '\(format)', which is not supported")
        }
        if Self.hasMembers(settings, "transform_config") {
            throw settings.failure("transform_config", "asks for transformed activations, which are not supported")
        }
        let key = "config_groups"
        let groups = try settings.required(settings.section(key), key)
        guard case .object(let members) = groups.json, !members.isEmpty else {
            throw settings.failure(key, "is empty")
        }
        var schemes: [Scheme] = []
        var hasActivationOrder = false
        for name in members.keys.sorted() {
            let group = try groups.required(groups.section(name), name)
            try group.expectFormat()
            // A group without weights is about activations alone.
            guard let weights = try group.section("weights") else { continue }
            let scheme = try Scheme(weights, activations: group.section("input_activations"))
            if !schemes.contains(scheme) { schemes.append(scheme) }
            if weights.json["actorder"].text?.lowercased() == "group" { hasActivationOrder = true }
        }
        self.init(method: .compressedTensors, schemes: schemes, hasActivationOrder: hasActivationOrder)
    }

    private init(fp8 settings: SettingsFile) throws(CheckpointError) {
        try settings.expect("fmt", ["e4m3", "float8_e4m3fn"])
        let key = "weight_block_size"
        var grouping = Grouping.matrix
        if let sizes = try settings.integers(key) {
            guard sizes.count == 2, sizes.allSatisfy({ (1...ModelConfiguration.Limits.width).contains($0) }) else {
                throw settings.failure(key, "is \(sizes), expected two sizes")
            }
            grouping = .block(rows: sizes[0], columns: sizes[1])
        }
        self.init(
            method: .fp8, schemes: [Scheme(floatsIn: grouping)])
    }

    private init(bitsAndBytes settings: SettingsFile) throws(CheckpointError) {
        let key = settings.has("load_in_4bit") ? "load_in_4bit" : "_load_in_4bit"
        guard try settings.boolean(key) ?? false else {
            throw settings.failure(key, "is not true: of bitsandbytes' formats only those of 4 bits are supported")
        }
        try settings.expect("bnb_4bit_quant_type", ["nf4", "fp4"])
        // Blocks run through all rows; each tensor says their size.
        self.init(method: .bitsAndBytes, schemes: [Scheme(bits: 4, grouping: .columns(64))])
    }

    private static func hasMembers(_ settings: SettingsFile, _ key: String) -> Bool {
        if case .object(let members) = settings.json[key] { !members.isEmpty } else { false }
    }
}

extension QuantizationConfiguration.Scheme {
    fileprivate init(_ weights: SettingsFile, activations: SettingsFile?) throws(CheckpointError) {
        try weights.expect("type", ["int", "float"])
        isFloat = try weights.string("type") == "float"
        bits = try weights.bits("num_bits", isFloat ? [8] : [2, 4, 8])
        isSymmetric = try weights.boolean("symmetric") ?? true
        activationBits = try activations?.integer("num_bits")
        let key = "strategy"
        switch try weights.string(key) {
        case "group": grouping = try weights.grouping("group_size")
        case "channel": grouping = .row
        case "tensor": grouping = .matrix
        case "block":
            let sizes = try weights.integers("block_structure") ?? []
            guard sizes.count == 2, sizes.allSatisfy({ (1...ModelConfiguration.Limits.width).contains($0) }) else {
                throw weights.failure("block_structure", "is \(sizes), expected two sizes")
            }
            grouping = .block(rows: sizes[0], columns: sizes[1])
        case nil: grouping = try weights.has("group_size") ? weights.grouping("group_size") : .matrix
        case let strategy?: throw weights.failure(key, "is '\(strategy)', which is not supported")
        }
    }
}

extension SettingsFile {
    /// Refuses a text other than some, whatever its case; it may be absent.
    fileprivate func expect(_ key: String, _ known: [String]) throws(CheckpointError) {
        guard let value = try string(key), !known.contains(value.lowercased()) else { return }
        throw failure(key, "is '\(value)', which is not supported (known: \(known.joined(separator: ", ")))")
    }

    /// compressed-tensors' names of the layouts that differ in nothing but the tensors' types.
    fileprivate func expectFormat() throws(CheckpointError) {
        try expect(
            "format",
            ["pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "mixed-precision", "dense"])
    }

    fileprivate func bits(_ key: String, _ known: [Int]) throws(CheckpointError) -> Int {
        let bits = try required(integer(key), key)
        guard known.contains(bits) else {
            throw failure(key, "is \(bits), expected \(known.map(String.init).joined(separator: ", "))")
        }
        return bits
    }

    /// A number of columns; -1 for all of them.
    fileprivate func grouping(_ key: String) throws(CheckpointError) -> QuantizationConfiguration.Grouping {
        let size = try required(integer(key), key)
        if size == -1 { return .row }
        guard (1...ModelConfiguration.Limits.width).contains(size) else {
            throw failure(key, "is \(size), expected -1 or 1 to \(ModelConfiguration.Limits.width)")
        }
        return .columns(size)
    }
}
