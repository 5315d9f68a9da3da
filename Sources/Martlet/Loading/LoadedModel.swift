import Foundation
import MartletCPU
package import MartletCheckpoints
package import MartletGraph
import MartletModels
package import MartletTokenizers

/// A model that is ready to run, with its tokenizer: what the engine, the benchmarks and the command line share.
package struct LoadedModel {
    package let configuration: ModelConfiguration
    package let tokenizer: Tokenizer
    package let compiled: any CompiledModel
    /// Longest context of a request.
    package let contextLength: Int
    package let threads: Int
    package let instructionSet: String
    package let compute: LoadOptions.Compute
    /// Seconds from the call to a model that can run.
    package let loadTime: Double

    /// Reads, repacks and compiles a model.
    ///
    /// - Parameter progress: called with 0 to 1 as weights are repacked.
    /// - Throws: `CheckpointError`, `TokenizerError` or `CPUBackendError`.
    package init(path: String, options: LoadOptions = .init(), progress: @Sendable (Double) -> Void = { _ in }) throws {
        let start = ContinuousClock.now
        let checkpoint = try Checkpoint(path: path)
        try self.init(checkpoint, options: options, start: start, progress: progress)
    }

    init(
        _ checkpoint: Checkpoint, options: LoadOptions, start: ContinuousClock.Instant,
        progress: @Sendable (Double) -> Void
    ) throws {
        configuration = checkpoint.configuration
        tokenizer = try Tokenizer(checkpoint)
        threads = options.threads ?? ProcessInfo.processInfo.activeProcessorCount
        compute = options.compute.resolved(for: configuration)
        let memory = MemoryBudget(configuration, options, kvType: compute.kvType)
        contextLength = memory.contextLength
        let backend = try CPUBackend(
            threads: threads, policy: compute.layoutPolicy,
            instructionSet: options.instructionSet ?? ProcessInfo.processInfo.environment["MARTLET_ISA"])
        instructionSet = backend.instructionSet
        let graph = try ModelRegistry.graph(of: checkpoint, contextLength: contextLength)
        compiled = try backend.compile(
            graph,
            options: CompileOptions(
                limits: StepLimits(
                    tokens: options.maxBatchedTokens, sampled: options.maxSampledRows ?? options.maxRequests,
                    requests: options.maxRequests),
                kvRows: memory.kvRows, kvType: compute.kvType, fusions: options.fusions),
            progress: progress)
        loadTime = (ContinuousClock.now - start).seconds
    }
}

extension Tokenizer {
    /// The tokenizer that belongs to a checkpoint.
    package init(_ checkpoint: Checkpoint) throws {
        switch checkpoint.source {
        case .gguf(let gguf): try self.init(gguf: GGUFVocabulary(gguf.metadata))
        }
    }
}

extension LoadOptions.Compute {
    /// What `auto` stands for. Narrow models lose the most from 8-bit activations (SmolLM2-135M keeps 96 % of its greedy
    /// choices, docs/ARCHITECTURE.md) and are the cheapest to run accurately.
    fileprivate func resolved(for configuration: ModelConfiguration) -> Self {
        self == .auto ? (configuration.hiddenSize < 2048 ? .int16 : .int8) : self
    }

    fileprivate var layoutPolicy: LayoutPolicy {
        LayoutPolicy(exactFloat32: self == .f32, preciseActivations: self == .int16)
    }

    package var kvType: KVType { self == .f32 ? .f32 : .f16 }
}

extension Duration {
    package var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
