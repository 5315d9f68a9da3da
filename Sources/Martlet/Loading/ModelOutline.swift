import Foundation
import MartletCPU
package import MartletCheckpoints
package import MartletGraph
import MartletModels

/// A checkpoint's model as it will run on this machine: traced and sized, but without its weights.
package struct ModelOutline: Sendable {
    package let configuration: ModelConfiguration
    /// Longest context of a request.
    package let contextLength: Int
    package let threads: Int
    package let compute: LoadOptions.Compute
    package let kvType: LoadOptions.KVCacheType
    package var instructionSet: String { backend.instructionSet }
    let model: any CausalLM
    private let graph: Graph
    let backend: CPUBackend
    private let compileOptions: CompileOptions

    /// - Throws: `CheckpointError` for a model that Martlet does not know, `CPUBackendError` for an instruction set that
    ///   this CPU lacks, `EngineError` for a KV cache that is too small or too large.
    package init(_ checkpoint: Checkpoint, options: LoadOptions) throws {
        configuration = checkpoint.configuration
        threads = options.threads ?? ProcessInfo.processInfo.activeProcessorCount
        compute = options.compute.resolved(for: configuration)
        kvType = options.kvType ?? (compute == .f32 ? .f32 : .f16)
        let memory = try MemoryBudget(configuration, options, kvType: kvType.graphType)
        contextLength = memory.contextLength
        backend = try CPUBackend(
            threads: threads, policy: compute.layoutPolicy,
            instructionSet: options.instructionSet ?? ProcessInfo.processInfo.environment["MARTLET_ISA"],
            pinsThreads: options.pinsThreads)
        model = try ModelRegistry.model(
            of: checkpoint, contextLength: contextLength,
            rounding: options.quantization.flatMap { WeightRounding(rawValue: $0.rawValue) },
            roundsActivations: compute != .f32)
        graph = model.trace()
        compileOptions = CompileOptions(
            limits: StepLimits(
                tokens: options.maxBatchedTokens,
                sampled: options.maxSampledRows ?? options.maxRequests + LoadOptions.extraSampledRows,
                requests: options.maxRequests),
            kvRows: memory.kvRows, kvType: kvType.graphType, fusions: options.fusions)
    }

    /// The plan with some of the fusions.
    package func plan(fusions: [Fusion]) -> Plan {
        var options = compileOptions
        options.fusions = fusions
        return Plan(graph, options: options, activationFormat: backend.activationFormat)
    }

    /// Repacks the weights and allocates everything that a step needs.
    package func compile(progress: (Double) -> Void = { _ in }) throws -> any CompiledModel {
        try backend.compile(graph, options: compileOptions, progress: progress)
    }

    /// The same, and beside it the model up to its final norm, which gives hidden states. They share the packed weights and
    /// the workers, so only one of them may run at a time.
    package func compileWithHiddenStates(
        progress: (Double) -> Void
    ) throws -> (logits: any CompiledModel, hiddenStates: any CompiledModel) {
        var options = compileOptions
        options.output = .hiddenStates
        // Of a whole chunk, and no more context than one request may have: its pages are touched when they are used.
        options.limits.sampled = options.limits.tokens
        options.kvRows = contextLength
        let models = try backend.compile(graph, variants: [compileOptions, options], progress: progress)
        return (models[0], models[1])
    }

    /// The same model in each of some steps of the optimization ladder. They share the packed weights and the workers, so
    /// only one of them may run at a time.
    package func compile(_ steps: [LadderStep], progress: (Double) -> Void) throws -> [any CompiledModel] {
        let variants = steps.map { step in
            var options = compileOptions
            options.attention = step.attention
            if !step.isFused { options.fusions = [] }
            if !step.isCaptured { options.retrace = { [model] in model.trace() } }
            return options
        }
        return try backend.compile(graph, variants: variants, progress: progress)
    }
}

extension LoadOptions.Compute {
    /// What `auto` stands for. Narrow models lose the most from 8-bit activations (SmolLM2-135M keeps 96 % of its greedy
    /// choices, docs/ARCHITECTURE.md) and are the cheapest to run accurately.
    fileprivate func resolved(for configuration: ModelConfiguration) -> Self {
        guard self == .auto else { return self }
        let isMadeFor8Bits = configuration.quantization?.schemes.allSatisfy { $0.activationBits == 8 && !$0.isFloat }
        return configuration.hiddenSize < 2048 && isMadeFor8Bits != true ? .int16 : .int8
    }

    fileprivate var layoutPolicy: LayoutPolicy {
        LayoutPolicy(exactFloat32: self == .f32, preciseActivations: self == .int16)
    }
}

extension LoadOptions.KVCacheType {
    fileprivate var graphType: KVType {
        switch self {
        case .f16: .f16
        case .bf16: .bf16
        case .int8: .int8
        case .f32: .f32
        }
    }
}
