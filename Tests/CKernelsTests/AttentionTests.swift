import CKernels
import Testing

@Suite struct AttentionTests {
    static let shapes: [AttentionShape] = [
        // Decode: one token, a page of which only the first position exists; then ragged ends.
        .init(headDim: 64, group: 1),
        .init(headDim: 128, group: 3, firstQuery: 77, pageCount: 2),
        .init(headDim: 64, group: 7, firstQuery: 127, pageCount: 2),
        .init(headDim: 128, group: 8, firstQuery: 150, pageCount: 3),
        .init(headDim: 128, group: 4, firstQuery: 191, pageCount: 3),
        // Head dims that fill no vector, and those between.
        .init(headDim: 2, group: 3, queryTokens: 3, firstQuery: 62, pageCount: 2),
        .init(headDim: 6, group: 2, queryTokens: 5, firstQuery: 10),
        .init(headDim: 10, group: 5, firstQuery: 40),
        .init(headDim: 80, group: 4, queryTokens: 3, firstQuery: 100, pageCount: 2),
        .init(headDim: 96, group: 6, queryTokens: 2, firstQuery: 63, pageCount: 2),
        .init(headDim: 288, group: 9, queryTokens: 8, firstQuery: 60, pageCount: 2),
        // Prefill, from the start and after a prefix, in a chunk that is not the first.
        .init(headDim: 32, group: 1, queryTokens: 70, pageCount: 2),
        .init(headDim: 16, group: 3, queryTokens: 50, firstQuery: 101, pageCount: 3),
        .init(headDim: 34, group: 2, queryTokens: 20, firstQuery: 560, firstPosition: 512, pageCount: 2),
        .init(headDim: 32, group: 4, queryTokens: 3, firstQuery: 900, firstPosition: 512, pageCount: 2),
        // Windows: within a page, across pages, wider than the context, and pages that nobody sees.
        .init(headDim: 32, group: 1, queryTokens: 40, firstQuery: 50, pageCount: 2, window: 5),
        .init(headDim: 32, group: 3, queryTokens: 7, firstQuery: 190, pageCount: 4, window: 70),
        .init(headDim: 64, group: 2, queryTokens: 2, firstQuery: 30, pageCount: 1, window: 1000),
        .init(headDim: 16, group: 1, queryTokens: 9, firstQuery: 250, pageCount: 4, window: 1),
        // Some queries see nothing of the chunk: before its start, and windows that left it.
        .init(headDim: 16, group: 2, queryTokens: 12, firstQuery: 506, firstPosition: 512, pageCount: 1),
        .init(headDim: 16, group: 2, queryTokens: 40, firstQuery: 60, firstPosition: 0, pageCount: 1, window: 20),
    ]

    @Test(arguments: attentionInstructionSets, shapes)
    func matchesDoublePrecisionSoftmax(_ instructionSet: String, _ shape: AttentionShape) {
        for type in attentionTypes {
            var noise = AttentionNoise(seed: 1)
            let cache = AttentionCache(instructionSet, type, shape)
            cache.fill(&noise)
            var queries = noise.next(count: shape.queryTokens * shape.group * shape.headDim)
            // Kernels may round queries to the cache's bf16; these it leaves alone.
            if type == CK_KV_BF16 { queries = queries.map(roundedToBrainHalf) }
            let partials = cache.attend(queries)
            let tolerance = AttentionReference.tolerance(shape, type)
            for (index, partial) in partials.enumerated() {
                let query = Array(queries[index * shape.headDim..<(index + 1) * shape.headDim])
                let visible = shape.visible(token: index / shape.group)
                let reference = AttentionReference(query: query, positions: visible, cache: cache)
                if visible.isEmpty {
                    #expect(partial[0] == -.infinity && partial[1] == 0)
                    #expect(partial[16...].allSatisfy { $0 == 0 })
                } else {
                    #expect(abs(Double(partial[0]) - reference.maximum) <= tolerance)
                    #expect(abs(Double(partial[1]) - reference.sum) <= tolerance * reference.sum)
                }
                let worst = zip(cache.finish(partial), reference.output).map { abs(Double($0) - $1) }.max()!
                #expect(worst <= tolerance, "query \(index)")
                #expect(partial[(16 + shape.headDim)...].allSatisfy { $0 == 0 }, "padding of V is zero")
            }
        }
    }

    @Test(arguments: attentionInstructionSets, shapes)
    func queryAloneHasTheSameBits(_ instructionSet: String, _ shape: AttentionShape) {
        for type in attentionTypes {
            var noise = AttentionNoise(seed: 2)
            let cache = AttentionCache(instructionSet, type, shape)
            cache.fill(&noise)
            // A row that holds infinities must not reach queries that can't see it, in whatever company.
            let last = shape.firstQuery + shape.queryTokens - 1
            if shape.positions.contains(last) {
                let poison = [Float](repeating: .infinity, count: shape.headDim)
                cache.store(poison, poison, at: last)
            }
            let queries = noise.next(count: shape.queryTokens * shape.group * shape.headDim)
            let together = cache.attend(queries)
            for token in 0..<shape.queryTokens {
                for head in 0..<shape.group {
                    let alone = cache.attend(queries, tokens: token..<token + 1, heads: head..<head + 1)[0]
                    #expect(bits(alone) == bits(together[token * shape.group + head]), "token \(token) head \(head)")
                }
                let heads = cache.attend(queries, tokens: token..<token + 1)
                #expect(heads.map(bits) == together[token * shape.group..<(token + 1) * shape.group].map(bits))
            }
            // Without the last token: another packing into tiles, and no infinity.
            guard shape.queryTokens > 2 else { continue }
            let fewer = cache.attend(queries, tokens: 1..<shape.queryTokens - 1)
            #expect(fewer.map(bits) == together[shape.group..<(shape.queryTokens - 1) * shape.group].map(bits))
            #expect(fewer.joined().allSatisfy { !$0.isNaN })
        }
    }

    @Test(arguments: attentionInstructionSets, attentionTypes)
    func mergedChunksEqualOneSoftmax(_ instructionSet: String, _ type: ck_kv_type) {
        // Scores up to 12 make weights differ by orders of magnitude, so that the maxima of chunks matter.
        let shape = AttentionShape(headDim: 16, group: 2, queryTokens: 3, firstQuery: 250, pageCount: 4)
        var noise = AttentionNoise(seed: 3)
        let whole = AttentionCache(instructionSet, type, shape)
        whole.fill(&noise)
        let queries = noise.next(count: 6 * 16).map { $0 * 8 }
        let expected = whole.attend(queries)

        var states = expected.map { _ in [Float](repeating: 0, count: shape.stateCount) }
        for index in states.indices { states[index][0] = -.infinity }
        for firstPosition in stride(from: 0, to: 256, by: 64) {
            var part = shape
            part.firstPosition = firstPosition
            part.pageCount = 1
            let chunk = AttentionCache(instructionSet, type, part)
            for position in part.positions where whole.keys[position] != nil {
                chunk.copy(position, of: whole)
            }
            let partials = chunk.attend(queries)
            for index in states.indices { chunk.merge(partials[index], into: &states[index]) }
        }
        for index in states.indices {
            #expect(states[index][0] == expected[index][0])
            // Scores are the same to the bit; the rest is a rescaling and a rounding per page and per position. Weights
            // that are rounded to bf16 are so after the rescaling: 2^-9 of each, before and after. 16-bit codes of
            // weights don't show in the sum.
            let rounding: Float = type == CK_KV_BF16 ? 0x1p-8 : 0
            #expect(abs(states[index][1] / expected[index][1] - 1) < 0x1p-20 + rounding)
            let difference = zip(whole.finish(states[index]), whole.finish(expected[index])).map { abs($0 - $1) }.max()!
            #expect(difference < 256 * 0x1p-24 + rounding + (type == CK_KV_INT8 ? 0x1p-10 : 0))
        }
    }

    /// What kernels round besides the cache, against attention without: queries and weights to bf16 (2^-9 of each, so
    /// that a scaled score is off by up to sqrt(headDim) / 4 of that) or to 15 and 16 bits.
    @Test(arguments: attentionInstructionSets, [CK_KV_BF16, CK_KV_INT8])
    func roundingQueriesAndWeightsCostsLittle(_ instructionSet: String, _ type: ck_kv_type) {
        let shape = AttentionShape(headDim: 64, group: 5, queryTokens: 2, firstQuery: 300, pageCount: 5)
        var noise = AttentionNoise(seed: 8)
        let cache = AttentionCache(instructionSet, type, shape)
        cache.fill(&noise)
        let queries = noise.next(count: 10 * 64)
        for (index, partial) in cache.attend(queries).enumerated() {
            let query = Array(queries[index * 64..<(index + 1) * 64])
            let visible = shape.visible(token: index / 5)
            let reference = AttentionReference(query: query, positions: visible, cache: cache)
            let score = type == CK_KV_BF16 ? 2 * 0x1p-9 : 0x1p-13
            #expect(abs(Double(partial[0]) - reference.maximum) <= score)
            let worst = zip(cache.finish(partial), reference.output).map { abs(Double($0) - $1) }.max()!
            #expect(worst <= 2 * score + (type == CK_KV_BF16 ? 0x1p-9 : 0x1p-11))
        }
    }

    /// A V row whose magnitude dwarfs the others sets the scale of its page's codes: the others must survive that.
    @Test(arguments: attentionInstructionSets, attentionTypes)
    func rowsOfDifferentMagnitude(_ instructionSet: String, _ type: ck_kv_type) {
        let shape = AttentionShape(headDim: 32, group: 3, firstQuery: 63)
        var noise = AttentionNoise(seed: 9)
        let cache = AttentionCache(instructionSet, type, shape)
        for position in 0..<64 {
            let magnitude: Float = position == 11 ? 100 : position == 30 ? 0 : 0.01
            cache.store(
                noise.next(count: 32).map { $0 * magnitude }, noise.next(count: 32).map { $0 * magnitude }, at: position
            )
        }
        let queries = noise.next(count: 3 * 32).map { roundedToBrainHalf($0) }
        for (index, partial) in cache.attend(queries).enumerated() {
            let reference = AttentionReference(
                query: Array(queries[index * 32..<(index + 1) * 32]), positions: 0..<64, cache: cache)
            // The large key makes scores of up to 100, of which bf16 products and 15-bit codes keep this much; V adds
            // 2^-9 of its largest.
            let worst = zip(cache.finish(partial), reference.output).map { abs(Double($0) - $1) }.max()!
            #expect(worst <= 100 * (0x1p-9 + 0x1p-24 * 64))
        }
    }

    @Test(arguments: attentionInstructionSets)
    func emptyStatesMergeAsNothing(_ instructionSet: String) {
        let cache = AttentionCache(instructionSet, CK_KV_F32, AttentionShape(headDim: 18))
        var noise = AttentionNoise(seed: 4)
        let partial = noise.next(count: cache.shape.stateCount).map { abs($0) + 0.5 }
        var empty = [Float](repeating: 0, count: cache.shape.stateCount)
        empty[0] = -.infinity
        // What an empty state holds beyond its maximum doesn't matter.
        var state = [Float](repeating: .nan, count: cache.shape.stateCount)
        state[0] = -.infinity
        cache.merge(partial, into: &state)
        #expect(bits(state) == bits(partial))
        cache.merge(empty, into: &state)
        #expect(bits(state) == bits(partial))
        cache.merge(empty, into: &empty)
        #expect(empty[0] == -.infinity && empty[1] == 0)
        #expect(cache.finish(empty) == [Float](repeating: 0, count: 18))
        // Merging with itself doubles the sums: the larger maximum scales by e^0 = 1 exactly.
        cache.merge(partial, into: &state)
        #expect(state[0] == partial[0] && state[1] == 2 * partial[1] && state[33] == 2 * partial[33])
    }

    @Test(arguments: attentionInstructionSets, attentionTypes)
    func visibleNaNIsNotHidden(_ instructionSet: String, _ type: ck_kv_type) {
        let shape = AttentionShape(headDim: 32, firstQuery: 99, pageCount: 2)
        for poisoned in [0, 17, 63, 64, 99] {
            var noise = AttentionNoise(seed: 5)
            let cache = AttentionCache(instructionSet, type, shape)
            cache.fill(&noise)
            let value = cache.values[poisoned]!
            cache.store([Float](repeating: .nan, count: 32), value, at: poisoned)
            let queries = noise.next(count: 32)
            let partial = cache.attend(queries)[0]
            #expect(partial[0].isNaN && cache.finish(partial).allSatisfy { $0.isNaN })
            var state = [Float](repeating: 1, count: shape.stateCount)
            cache.merge(partial, into: &state)
            #expect(cache.finish(state).allSatisfy { $0.isNaN })
            cache.merge([Float](repeating: 1, count: shape.stateCount), into: &state)
            #expect(cache.finish(state).allSatisfy { $0.isNaN })
        }
    }
}
