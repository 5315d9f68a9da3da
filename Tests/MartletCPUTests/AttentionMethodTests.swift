import CKernels
import MartletCPU
import MartletGraph
import Testing

/// The steps of the optimization ladder (docs/LADDER.md) compute the same: every attention method, every instruction set.
@Suite struct AttentionMethodTests {
    /// Side roads of CPUProgramTests, without its quantized weights: what differs then is attention alone.
    static let models: [TinyLlama] = [
        TinyLlama(quantized: false),
        TinyLlama(hidden: 96, inner: 160, heads: 3, kvHeads: 3, headDim: 32, window: 5, quantized: false),
        TinyLlama(hidden: 70, inner: 37, heads: 4, kvHeads: 2, headDim: 10, vocabulary: 17, quantized: false),
        TinyLlama(
            hidden: 64, inner: 32, heads: 4, kvHeads: 1, headDim: 80, vocabulary: 17, window: 600, quantized: false),
    ]

    /// Longer than two chunks, so that decoding splits its context; not a multiple of anything.
    static let tokens: [Int32] = (0..<1111).map { $0 * 7 % 17 }
    private static let limits = StepLimits(tokens: 160, sampled: 160, requests: 2)
    private static let rowsPerRequest = 1152

    private func options(
        _ attention: AttentionMethod, kvType: KVType = .f32, fusions: [Fusion] = Fusion.all,
        retracing graph: Graph? = nil
    ) -> CompileOptions {
        var options = CompileOptions(
            limits: Self.limits, kvRows: 2 * Self.rowsPerRequest, kvType: kvType, fusions: fusions)
        options.attention = attention
        if let graph { options.retrace = { graph } }
        return options
    }

    /// Logits of the last token of each of these steps: prompts in chunks, few tokens, one; alone and beside another
    /// request that is shorter than a chunk.
    private func logits(_ model: any CompiledModel) -> [Float] {
        let input = StepInput(limits: Self.limits)
        let table = (0..<Int32(2 * Self.rowsPerRequest)).map(\.self)
        var result: [Float] = []
        func step(_ queries: [(request: Int, tokens: Range<Int>)]) {
            input.removeAll()
            table.withUnsafeBufferPointer { table in
                guard let base = table.baseAddress else { return }
                Self.tokens.withUnsafeBufferPointer { tokens in
                    for (request, range) in queries {
                        input.append(
                            query: UnsafeBufferPointer(rebasing: tokens[range]), computed: range.lowerBound,
                            table: base + request * Self.rowsPerRequest, sampledTail: 1)
                    }
                }
                result += model.run(input)
            }
        }
        for first in stride(from: 0, to: 1056, by: 132) { step([(0, first..<first + 132)]) }
        step([(1, 0..<41), (0, 1056..<1064)])  // the second request splits its context, the first doesn't
        step([(0, 1064..<1101), (1, 41..<42)])
        for token in 1101..<1111 { step([(0, token..<token + 1)]) }
        return result
    }

    /// Float32 rounds each of some thousand additions by 2^-24, in another order in each method, and the random model
    /// amplifies that by up to ten: 1e-4 of the deviation is ample. F16 keys and values are rounded alike in all methods,
    /// but where a value lies on the edge of two halves it differs by 2^-11: 4e-3.
    @Test(arguments: models.indices, CPUProgramTests.instructionSets)
    func allMethodsAgree(_ index: Int, instructionSet: String) throws {
        let model = Self.models[index]
        let graph = model.graph(model.parameters())
        let backend = try CPUBackend(
            threads: 3, policy: LayoutPolicy(exactFloat32: true), instructionSet: instructionSet)
        for (kvType, tolerance) in [(KVType.f32, 1e-4), (.f16, 4e-3)] {
            let methods = AttentionMethod.allCases
            let results = try backend.compile(graph, variants: methods.map { options($0, kvType: kvType) }) { _ in }
                .map(logits)
            let expected = results[methods.count - 1]
            let mean = expected.reduce(0) { $0 + Double($1) } / Double(expected.count)
            let variance = expected.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
            let deviation = (variance / Double(expected.count)).squareRoot()
            for (method, result) in zip(methods, results) {
                #expect(result.count == expected.count)
                let worst = zip(result, expected).map { abs(Double($0) - Double($1)) }.reduce(0) { $1 <= $0 ? $0 : $1 }
                #expect(worst <= tolerance * deviation, "\(method), \(kvType): \(worst / deviation) of the deviation")
            }
        }
    }

    /// Fusion and planning change no bit, whatever the attention method and the format that it writes.
    @Test(arguments: AttentionMethod.allCases)
    func fusionAndCaptureChangeNoBit(method: AttentionMethod) throws {
        let model = TinyLlama(heads: 6, kvHeads: 2, headDim: 32)
        let graph = model.graph(model.parameters())
        let backend = try CPUBackend(threads: 2)
        let variants = [
            options(method, kvType: .f16), options(method, kvType: .f16, fusions: []),
            options(method, kvType: .f16, retracing: graph),
            options(method, kvType: .f16, fusions: [], retracing: graph),
        ]
        let programs = try backend.compile(graph, variants: variants) { _ in }
        let results = programs.map(logits)
        for result in results.dropFirst() { #expect(result == results[0]) }
        #expect(programs[0].planningTime == .zero && programs[1].planningTime == .zero)
        #expect(programs[2].planningTime > .zero && programs[3].planningTime > .zero)
    }

    /// However many plans name a matrix, it is packed once.
    @Test func variantsShareWeights() throws {
        let model = TinyLlama()
        let graph = model.graph(model.parameters())
        let backend = try CPUBackend(threads: 1)
        func bytes(_ variants: CompileOptions...) throws -> Int {
            try backend.compile(graph, variants: variants) { _ in }[0].memory.weights
        }
        let fused = try bytes(options(.paged))
        let plain = try bytes(options(.plain, fusions: []))
        #expect(try bytes(options(.paged), options(.tiled), options(.paged, retracing: graph)) == fused)
        let both = try bytes(options(.paged), options(.plain, fusions: []))
        #expect(both > fused && both < fused + plain)
    }

    /// A context of a million rows and scores for it fit no memory: an error, not a trap.
    @Test func scoresThatFitNoMemoryAreAnError() throws {
        let model = TinyLlama()
        var options = options(.plain)
        options.kvRows = 1 << 40
        #expect(throws: CPUBackendError.self) {
            try CPUBackend(threads: 1).compile(model.graph(model.parameters()), options: options) { _ in }
        }
    }
}
