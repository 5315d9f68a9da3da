import Martlet
import MartletCheckpoints
import MartletGraph
import MartletTokenizers

/// What `show` prints about a model.
struct ModelDescription: Encodable {
    struct Sizes: Encodable {
        let layers: Int
        let hiddenSize: Int
        let intermediateSize: Int
        let heads: Int
        let kvHeads: Int
        let headDim: Int
        let vocabulary: Int
        let contextLength: Int
        let tiedEmbeddings: Bool
    }

    struct TokenizerFacts: Encodable {
        let vocabulary: Int
        let beginningOfSequence: String?
        let endOfSequence: [String]
        let chatTemplate: Bool
    }

    struct Memory: Encodable {
        /// As the kernels read them.
        let weights: Int
        let kvPerToken: Int
        /// Tokens that the estimate is for.
        let context: Int
        let kvCache: Int
        /// Intermediates of the largest step.
        let intermediates: Int

        var total: Int { weights + kvCache + intermediates }
    }

    let path: String
    let summary: ModelSummary
    let sizes: Sizes
    /// Nil for a folder without `tokenizer.json`.
    let tokenizer: TokenizerFacts?
    let memory: Memory
    let instructionSet: String
    let compute: String
    let kvCacheType: String

    init(_ checkpoint: Checkpoint, _ model: LoadedModel, path: String, context: Int) throws {
        let configuration = checkpoint.configuration
        self.path = path
        summary = try ModelSummary(checkpoint)
        sizes = Sizes(
            layers: configuration.layerCount, hiddenSize: configuration.hiddenSize,
            intermediateSize: configuration.intermediateSize, heads: configuration.headCount,
            kvHeads: configuration.kvHeadCount, headDim: configuration.headDim,
            vocabulary: configuration.vocabularySize, contextLength: configuration.maxPositionEmbeddings,
            tiedEmbeddings: configuration.tieWordEmbeddings)
        tokenizer = model.tokenizer.map { tokenizer in
            let spelling = { (id: Int) -> String? in TokenID(exactly: id).flatMap(tokenizer.spelling) }
            return TokenizerFacts(
                vocabulary: tokenizer.vocabularySize,
                beginningOfSequence: configuration.bosTokenID.flatMap(spelling),
                endOfSequence: configuration.eosTokenIDs.compactMap(spelling),
                chatTemplate: configuration.chatTemplate != nil)
        }
        let plan = model.compiled.plan
        memory = Memory(
            weights: model.compiled.memory.weights, kvPerToken: plan.kvBytesPerToken, context: context,
            kvCache: plan.kvBytesPerToken * context, intermediates: plan.arenaBytes)
        instructionSet = model.instructionSet
        compute = model.compute.rawValue
        kvCacheType = model.kvType.rawValue
    }

    var text: String {
        var text = summary.name.map { Self.line("name", $0.singleLine) } ?? ""
        text += Self.line("file", path)
        text += Self.line("architecture", summary.architecture)
        text += Self.line("parameters", Quantities.grouped(summary.parameters))
        if let quantization = summary.quantization { text += Self.line("quantization", quantization) }
        text += Self.line("layers", "\(sizes.layers)")
        text += Self.line("width", "\(sizes.hiddenSize), feed-forward \(sizes.intermediateSize)")
        text += Self.line("heads", "\(sizes.heads) of \(sizes.headDim), \(sizes.kvHeads) for keys and values")
        text += Self.line("context", "\(Quantities.grouped(sizes.contextLength)) tokens")
        let tied = sizes.tiedEmbeddings ? ", embeddings tied to the output" : ""
        text += Self.line("vocabulary", Quantities.grouped(sizes.vocabulary) + tied)
        if let tokenizer {
            let ends = tokenizer.endOfSequence.joined(separator: " ").singleLine
            text += Self.line("tokenizer", "\(Quantities.grouped(tokenizer.vocabulary)) tokens, ends with \(ends)")
            text += Self.line("chat template", tokenizer.chatTemplate ? "yes" : "no")
        } else {
            text += Self.line("tokenizer", "none")
        }
        text += Self.line(
            "runs with", "\(instructionSet) kernels, \(compute) arithmetic, \(kvCacheType) keys and values")
        return text + "\n" + typesTable.markdown + "\n" + memoryTable.markdown
    }

    private static func line(_ name: String, _ value: String) -> String {
        name + String(repeating: " ", count: 15 - name.count) + value + "\n"
    }

    private var typesTable: Table {
        var table = Table(.init("type"), .init("tensors", .right), .init("parameters", .right), .init("bytes", .right))
        for share in summary.types {
            table.append(
                share.type, "\(share.tensors)", Quantities.grouped(share.parameters), Quantities.bytes(share.bytes))
        }
        let tensors = summary.types.reduce(0) { $0 + $1.tensors }
        table.append(
            "all", "\(tensors)", Quantities.grouped(summary.parameters), Quantities.bytes(summary.bytes))
        return table
    }

    private var memoryTable: Table {
        var table = Table(.init("memory"), .init("bytes", .right))
        table.append("weights, repacked", Quantities.bytes(memory.weights))
        table.append("keys and values, per token", Quantities.bytes(memory.kvPerToken))
        table.append("keys and values, \(Quantities.grouped(memory.context)) tokens", Quantities.bytes(memory.kvCache))
        table.append("intermediates", Quantities.bytes(memory.intermediates))
        table.append("all", Quantities.bytes(memory.total))
        return table
    }
}
