import Martlet
import MartletGraph
import Testing

/// A request's logits are equal bit for bit however it is computed (docs/ARCHITECTURE.md, batch invariance).
@Suite(.enabled(if: SmolLM2.isPresent, Comment(rawValue: SmolLM2.absence)), .serialized)
struct BatchInvarianceTests {
    /// 577 tokens: more than one split-KV chunk of 512, and no multiple of anything.
    static let prompt: [Int32] = tokens(count: 577, seed: 1)

    static func tokens(count: Int, seed: UInt64) -> [Int32] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int32(state >> 33) % 49152
        }
    }

    /// Bits of all logits folded into one hash per position: [577, 49152] floats would be 113 MB.
    static func fingerprints(_ model: LoadedModel, chunk: Int) -> [UInt64] {
        var result: [UInt64] = []
        let vocabulary = model.compiled.plan.logits.shape.width
        SequenceEvaluator(model.compiled).forEachLogits(of: prompt, chunk: chunk) { _, count, logits in
            for row in 0..<count { result.append(hash(logits[row * vocabulary..<(row + 1) * vocabulary])) }
        }
        return result
    }

    /// FNV-1a over the bit patterns.
    static func hash(_ logits: Slice<UnsafeBufferPointer<Float>>) -> UInt64 {
        logits.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1.bitPattern)) &* 0x100_0000_01b3 }
    }

    static let compute: [LoadOptions.Compute] = [.int16, .int8, .f32]

    @Test(arguments: compute)
    func chunksThreadsAndFusionsDontShow(compute: LoadOptions.Compute) throws {
        let model = try SmolLM2.load { $0.compute = compute }
        let expected = Self.fingerprints(model, chunk: 512)
        #expect(expected.count == Self.prompt.count)
        #expect(Set(expected).count > 500, "the fingerprints tell positions apart")
        for chunk in [1, 7, 64] {
            #expect(Self.fingerprints(model, chunk: chunk) == expected, "chunks of \(chunk)")
        }
        let twoThreads = try SmolLM2.load { ($0.compute, $0.threads) = (compute, 2) }
        for chunk in [1, 512] {
            #expect(Self.fingerprints(twoThreads, chunk: chunk) == expected, "2 threads, chunks of \(chunk)")
        }
        let unfused = try SmolLM2.load { ($0.compute, $0.threads, $0.fusions) = (compute, 2, []) }
        #expect(unfused.compiled.plan.calls.count > 2 * model.compiled.plan.calls.count)
        #expect(Self.fingerprints(unfused, chunk: 64) == expected, "no fusion")
    }

    @Test(arguments: LoadOptions.KVCacheType.allCases)
    func chunksDontShowWithAnyKVType(type: LoadOptions.KVCacheType) throws {
        let model = try SmolLM2.load { ($0.kvType, $0.threads) = (type, 1) }
        let expected = Self.fingerprints(model, chunk: 512)
        let twoThreads = try SmolLM2.load { ($0.kvType, $0.threads) = (type, 2) }
        for chunk in [1, 7, 64] {
            #expect(Self.fingerprints(twoThreads, chunk: chunk) == expected, "chunks of \(chunk)")
        }
    }

    /// The same prompt beside seven others of other lengths, some of which join and leave while it runs.
    @Test func companyDoesNotShow() throws {
        let model = try SmolLM2.load { $0.threads = 2 }
        let expected = Self.fingerprints(model, chunk: 64)
        let vocabulary = model.compiled.plan.logits.shape.width
        let evaluator = SequenceEvaluator(model.compiled, sequences: 8)
        #expect(evaluator.capacity >= Self.prompt.count)
        var result: [UInt64] = []
        var position = 0
        var step = 0
        while position < Self.prompt.count {
            let own = Self.prompt[position..<min(position + 1 + step * 5 % 40, Self.prompt.count)]
            var queries: [(sequence: Int, tokens: ArraySlice<Int32>)] = []
            for other in 0..<8 where other == 3 || (step + other) % 3 != 0 {
                if other == 3 {
                    queries.append((3, own))
                } else {
                    // Others restart when their part of the cache is full.
                    let count = 1 + (step * 7 + other * 11) % 30
                    if evaluator.length(of: other) + count > evaluator.capacity { evaluator.truncate(other, to: 0) }
                    queries.append((other, Self.tokens(count: count, seed: UInt64(step * 8 + other + 2))[...]))
                }
            }
            let logits = evaluator.step(queries, logits: 512)
            var row = 0
            for query in queries {
                if query.sequence == 3 {
                    for own in row..<row + query.tokens.count {
                        result.append(Self.hash(logits[own * vocabulary..<(own + 1) * vocabulary]))
                    }
                }
                row += query.tokens.count
            }
            position += own.count
            step += 1
        }
        #expect(result == expected)
    }
}
