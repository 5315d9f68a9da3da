public import ArgumentParser
import Foundation
public import Martlet

extension EmbeddingPooling: ExpressibleByArgument {}
extension LoadOptions.Compute: ExpressibleByArgument {}
extension LoadOptions.KVCacheType: ExpressibleByArgument {}
extension LoadOptions.Quantization: ExpressibleByArgument {}

/// The arithmetic of the linear layers.
struct ComputeOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Arithmetic of quantized layers: auto, int8, int16 or f32.",
            discussion: """
                int8 rounds activations to 8 bits and is the fastest; int16 keeps 15 bits; f32 computes exactly on \
                dequantized weights, for comparing with references. auto: int16 for models narrower than 2,048, else int8.
                """))
    var compute: LoadOptions.Compute = .auto
}

/// What weights are rounded to at load.
struct QuantizationOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Round weights that are floats in the file when they are loaded: int8 or int4.",
            discussion: "To the nearest in groups of 32, 8.5 and 5 bits a weight; with int4 the vocabulary keeps int8.")
    )
    var quantization: LoadOptions.Quantization?
}

/// The element type of the KV cache.
struct KVCacheTypeOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Keys and values in the cache: f16, bf16, int8 or f32.",
            discussion: """
                int8 takes half the memory of f16 and is faster in long contexts; bf16 is as large as f16, faster on \
                processors that multiply it, and less exact. Default: f16, or f32 with --compute f32.
                """))
    var kvCacheType: LoadOptions.KVCacheType?
}

/// The number of worker threads.
struct ThreadsOption: ParsableArguments {
    @Option(help: "Worker threads. Default: one per processor.")
    var threads: Int?
    @OptionGroup var pinning: PinOption

    func validate() throws { try threads.map(Self.check) }

    static func check(_ threads: Int) throws {
        guard (1...1024).contains(threads) else { throw ValidationError("--threads must be between 1 and 1024") }
    }
}

struct PinOption: ParsableArguments {
    @Flag(help: "Keep each worker on a processor of its own.")
    var pinThreads = false
}

/// How commands that compute load their model.
struct ComputeOptions: ParsableArguments {
    @OptionGroup var arithmetic: ComputeOption
    @OptionGroup var weights: QuantizationOption
    @OptionGroup var cache: KVCacheTypeOption
    @OptionGroup var workers: ThreadsOption

    var loadOptions: LoadOptions {
        var options = LoadOptions()
        options.compute = arithmetic.compute
        options.quantization = weights.quantization
        options.kvType = cache.kvCacheType
        options.threads = workers.threads
        options.pinsThreads = workers.pinning.pinThreads
        return options
    }
}
