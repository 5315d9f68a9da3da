public import ArgumentParser
import Foundation
public import Martlet

extension LoadOptions.Compute: ExpressibleByArgument {}

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
    @OptionGroup var workers: ThreadsOption

    var loadOptions: LoadOptions {
        var options = LoadOptions()
        options.compute = arithmetic.compute
        options.threads = workers.threads
        options.pinsThreads = workers.pinning.pinThreads
        return options
    }
}
