import CKernels
import MartletCPU
import MartletGraph
import Testing

/// A whole model on every instruction set of the machine, against the same model in double precision.
@Suite struct CPUProgramTests {
    static let instructionSets: [String] = ["avx512", "avx2", "neon", "portable"].filter { ck_select($0) != nil }

    /// Shapes that take the side roads: heads that fill no activation group, head dims that fill no vector, widths that
    /// fill no pair of groups, and a window.
    static let models: [TinyLlama] = [
        TinyLlama(),
        TinyLlama(hidden: 96, inner: 160, heads: 3, kvHeads: 3, headDim: 32, window: 5),
        TinyLlama(hidden: 70, inner: 37, heads: 4, kvHeads: 2, headDim: 10, vocabulary: 17, quantized: false),
    ]

    static let tokens: [Int32] = (0..<75).map { $0 * 7 % 17 }

    /// Logits of all tokens, computed in chunks; `rows` gives each position's place in the KV pool.
    private func logits(
        _ model: TinyLlama, _ parameters: TinyLlama.Parameters, _ backend: CPUBackend, fusions: [Fusion] = Fusion.all,
        kvType: KVType = .f32, chunk: Int = 75, rows: [Int32]
    ) throws -> [Float] {
        let options = CompileOptions(
            limits: StepLimits(tokens: 75, sampled: 75, requests: 1), kvRows: 256, kvType: kvType, fusions: fusions)
        let compiled = try backend.compile(model.graph(parameters), options: options) { _ in }
        let input = StepInput(limits: compiled.limits)
        var result: [Float] = []
        for first in stride(from: 0, to: Self.tokens.count, by: chunk) {
            let part = Array(Self.tokens[first..<min(first + chunk, Self.tokens.count)])
            input.removeAll()
            rows.withUnsafeBufferPointer { rows in
                guard let table = rows.baseAddress else { return }
                part.withUnsafeBufferPointer {
                    input.append(query: $0, computed: first, table: table, sampledTail: part.count)
                }
                result += compiled.run(input)
            }
        }
        return result
    }

    private static let contiguous = (0..<75).map { Int32($0) }
    /// Every position on another page or out of place: nothing can be read where it lies.
    private static let scattered = (0..<75).map { Int32($0 * 101 % 256) }

    /// Tolerances are fractions of the logits' deviation, for the largest of 75 rows' differences. Float32 rounds each of
    /// some hundred additions by 2^-24, and the random model amplifies that by up to ten: 1e-4 is ample. 15-bit activations
    /// are off by up to 3e-5 of a group's largest each: 2e-3. 8-bit ones by 4e-3: 0.25.
    @Test(arguments: models.indices, instructionSets)
    func logitsMatchTheReference(_ index: Int, instructionSet: String) throws {
        let model = Self.models[index]
        let parameters = model.parameters()
        let reference = model.reference(parameters, Self.tokens).flatMap(\.self)
        let deviation = (reference.reduce(0) { $0 + $1 * $1 } / Double(reference.count)).squareRoot()
        for (policy, tolerance) in [
            (LayoutPolicy(exactFloat32: true), 1e-4), (LayoutPolicy(preciseActivations: true), 2e-3),
            (LayoutPolicy(preciseActivations: false), 0.25),
        ] {
            let backend = try CPUBackend(threads: 2, policy: policy, instructionSet: instructionSet)
            let ours = try logits(model, parameters, backend, rows: Self.contiguous)
            #expect(ours.count == reference.count)
            let worst = zip(ours, reference).map { abs(Double($0) - $1) }.max() ?? .infinity
            #expect(worst <= tolerance * deviation, "\(worst / deviation) of the deviation")
        }
    }

    static let kvTypes: [KVType] = KVType.allCases

    /// Keys and values of bf16 are off by 2^-9 of each, int8 by 1/254 of a head's largest; kernels may round queries and
    /// weights to bf16 too. One layer's attention is one of several terms of a logit.
    @Test(arguments: models.indices, instructionSets)
    func kvTypesMatchTheReference(_ index: Int, instructionSet: String) throws {
        let model = Self.models[index]
        let parameters = model.parameters()
        let reference = model.reference(parameters, Self.tokens).flatMap(\.self)
        let deviation = (reference.reduce(0) { $0 + $1 * $1 } / Double(reference.count)).squareRoot()
        let backend = try CPUBackend(
            threads: 2, policy: LayoutPolicy(exactFloat32: true), instructionSet: instructionSet)
        for (type, tolerance) in [(KVType.f16, 0.01), (.bf16, 0.08), (.int8, 0.15)] {
            for rows in [Self.contiguous, Self.scattered] {
                let ours = try logits(model, parameters, backend, kvType: type, chunk: 20, rows: rows)
                let squares = zip(ours, reference).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
                let error = (squares / Double(reference.count)).squareRoot() / deviation
                #expect(error <= tolerance, "\(type): \(error) of the deviation")
            }
        }
    }

    @Test(arguments: models.indices, kvTypes)
    func bitsDontDependOnChunksOrRows(_ index: Int, kvType: KVType) throws {
        let model = Self.models[index]
        let parameters = model.parameters()
        for instructionSet in Self.instructionSets {
            let one = try CPUBackend(threads: 1, instructionSet: instructionSet)
            let three = try CPUBackend(threads: 3, instructionSet: instructionSet)
            let expected = try logits(model, parameters, one, kvType: kvType, rows: Self.contiguous)
            for chunk in [1, 9, 64] {
                #expect(
                    try logits(model, parameters, three, kvType: kvType, chunk: chunk, rows: Self.contiguous)
                        == expected)
            }
            #expect(try logits(model, parameters, three, kvType: kvType, chunk: 9, rows: Self.scattered) == expected)
        }
    }

    @Test(arguments: models.indices, instructionSets)
    func bitsDontDependOnChunksThreadsFusionsOrRows(_ index: Int, instructionSet: String) throws {
        let model = Self.models[index]
        let parameters = model.parameters()
        let one = try CPUBackend(threads: 1, instructionSet: instructionSet)
        let three = try CPUBackend(threads: 3, instructionSet: instructionSet)
        let expected = try logits(model, parameters, one, kvType: .f16, rows: Self.contiguous)
        for chunk in [1, 9, 64] {
            #expect(try logits(model, parameters, three, kvType: .f16, chunk: chunk, rows: Self.contiguous) == expected)
        }
        #expect(try logits(model, parameters, three, kvType: .f16, chunk: 9, rows: Self.scattered) == expected)
        #expect(try logits(model, parameters, one, fusions: [], kvType: .f16, rows: Self.contiguous) == expected)
        for fusion in Fusion.all {
            let others = Fusion.all.filter { $0.name != fusion.name }
            #expect(
                try logits(model, parameters, three, fusions: others, kvType: .f16, rows: Self.contiguous) == expected,
                "without \(fusion.name)")
        }
    }
}
