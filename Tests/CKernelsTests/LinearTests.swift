import CKernels
import Testing

/// Every layout on every instruction set of the machine, against sums in double precision.
@Suite struct LinearTests {
    /// Rows that leave panels of one row, one short of full, full, and an odd number of panels; columns that are less
    /// than a pair of groups, an odd number of groups, and many.
    static func shapes(_ layout: Layout) -> [(rows: Int, columns: Int)] {
        let odd = layout.groupSize == 16 ? 48 : layout.isQuantized ? 32 : 1
        let padded = layout.isQuantized ? 96 : 70
        return [(1, odd), (15, padded), (16, 64), (17, 32), (33, padded), (35, 576)]
    }

    @Test(arguments: Layout.all) func productMatchesReference(_ layout: Layout) throws {
        for shape in Self.shapes(layout) {
            let weights = Weights(layout, rows: shape.rows, columns: shape.columns)
            let packed = weights.packed()
            let tokens = shape.columns > 100 ? 9 : 23
            let activations = randomActivations(tokens: tokens, columns: shape.columns)
            let reference = ReferenceProduct(weights, activations: activations, tokens: tokens)
            for name in layout.instructionSets {
                let result = try linear(
                    weights, packed: packed, activations: activations, tokens: tokens, kernels: linearKernels(name))
                for (index, value) in result.enumerated() {
                    let error = (Double(value) - reference.values[index]).magnitude
                    #expect(
                        error <= reference.tolerances[index],
                        "\(name) \(shape) token \(index / shape.rows) row \(index % shape.rows)")
                }
            }
            #expect(packed.isIntact)
        }
    }

    /// The law of batch invariance: a row's bits don't depend on its company, nor on how the work is cut.
    @Test(arguments: Layout.all) func bitsDoNotDependOnBatchOrSplit(_ layout: Layout) throws {
        let columns = layout.isQuantized ? 96 : 310  // AVX2 walks bf16 in runs of 128 columns
        let weights = Weights(layout, rows: 67, columns: columns)
        let packed = weights.packed()
        let activations = randomActivations(tokens: 23, columns: columns)
        for name in layout.instructionSets {
            let kernels = try linearKernels(name)
            let whole = try linear(weights, packed: packed, activations: activations, tokens: 23, kernels: kernels)
            for tokens in [1, 2, 3, 4, 5, 6, 7, 8, 9, 16] {
                // The last tokens, so that each stands at another place of a tile than in the whole.
                let part = try linear(
                    weights, packed: packed, activations: Array(activations.suffix(tokens * columns)), tokens: tokens,
                    kernels: kernels)
                #expect(sameBits(part, whole.suffix(tokens * 67)), "\(name) \(tokens) tokens")
            }
            for cuts in [[1], [2], [3], [1, 2, 3, 4], [0, 3, 3]] {
                let cut = try linear(
                    weights, packed: packed, activations: activations, tokens: 23, kernels: kernels,
                    options: LinearOptions(panelCuts: cuts))
                #expect(sameBits(cut, whole), "\(name) cut at \(cuts)")
            }
        }
    }

    /// Enough columns that a block of activations in the L2 cache is a single tile, and few tokens: blocks must not
    /// change bits either.
    @Test func bitsDoNotDependOnActivationBlocks() throws {
        let columns = 16384  // f32 tiles of 8 tokens are 512 KB, so 17 tokens are three blocks
        let weights = Weights(.f32, rows: 17, columns: columns)
        let packed = weights.packed()
        let activations = randomActivations(tokens: 17, columns: columns)
        for name in linearInstructionSets {
            let kernels = try linearKernels(name)
            let whole = try linear(weights, packed: packed, activations: activations, tokens: 17, kernels: kernels)
            let last = try linear(
                weights, packed: packed, activations: Array(activations.suffix(columns)), tokens: 1, kernels: kernels)
            #expect(sameBits(last, whole.suffix(17)), "\(name)")
            #expect(Set(whole).count > 17 * 16, "\(name): outputs differ from one another")
        }
    }

    /// Kernels that unpack a block of weights once for many tokens: more than they keep sums of, and several activation blocks.
    @Test(arguments: [Layout.f8ByBF16, .f8, .bf16], [(tokens: 300, rows: 67, columns: 310), (27, 35, 16416)])
    func bitsDoNotDependOnManyTokens(_ layout: Layout, _ shape: (tokens: Int, rows: Int, columns: Int)) throws {
        let weights = Weights(layout, rows: shape.rows, columns: shape.columns)
        let packed = weights.packed()
        let activations = randomActivations(tokens: shape.tokens, columns: shape.columns)
        for name in layout.instructionSets {
            let kernels = try linearKernels(name)
            let whole = try linear(
                weights, packed: packed, activations: activations, tokens: shape.tokens, kernels: kernels)
            for tokens in [1, 8, 13, shape.tokens - 1] {
                let part = try linear(
                    weights, packed: packed, activations: Array(activations.suffix(tokens * shape.columns)),
                    tokens: tokens, kernels: kernels)
                #expect(sameBits(part, whole.suffix(tokens * shape.rows)), "\(name) \(tokens) tokens")
            }
        }
    }

    /// output = output + (sum + bias), each addition rounded once, in this order.
    @Test(arguments: Layout.all) func biasAndAccumulationComeLastInOrder(_ layout: Layout) throws {
        let weights = Weights(layout, rows: 33, columns: 64)
        let packed = weights.packed()
        let activations = randomActivations(tokens: 11, columns: 64)
        let bias = randomActivations(tokens: 1, columns: 33, seed: 3)
        let residual = randomActivations(tokens: 11, columns: 33, seed: 4)
        for name in layout.instructionSets {
            let kernels = try linearKernels(name)
            func product(_ options: LinearOptions) throws -> [Float] {
                try linear(
                    weights, packed: packed, activations: activations, tokens: 11, kernels: kernels, options: options)
            }
            let plain = try product(LinearOptions())
            let biased = plain.enumerated().map { $1 + bias[$0 % 33] }
            #expect(try product(LinearOptions(bias: bias)) == biased, "\(name)")
            #expect(
                try product(LinearOptions(accumulateInto: residual)) == zip(residual, plain).map { $0 + $1 }, "\(name)")
            #expect(
                try product(LinearOptions(bias: bias, accumulateInto: residual))
                    == zip(residual, biased).map { $0 + $1 },
                "\(name)")
        }
    }

    /// The largest integer sums: every code and every activation at its limit, where a 16-bit intermediate would
    /// saturate. All factors are powers of two, so results are exact, but for 15-bit activations: their sums take 27 bits,
    /// and converting them to float rounds away up to 2^-24 of each.
    @Test(arguments: Layout.quantized + Layout.precise) func extremeCodesAreExact(_ layout: Layout) throws {
        for (code, sign) in [(layout.maxCode, Float(1)), (layout.maxCode, -1), (0, 1), (0, -1)] {
            var weights = Weights(layout, rows: 16, columns: 64)
            weights.codes = weights.codes.map { _ in code }
            weights.scales = weights.scales.map { _ in 0.5 }
            weights.offsets = weights.offsets.map { _ in 2 }
            weights.scaleFactors = weights.scaleFactors.map { _ in 1 }
            weights.offsetFactors = weights.offsetFactors.map { _ in 1 }
            let activations = [Float](repeating: layout.largestCode * sign, count: 64 * 9)
            let centred = Float(Int(code) - layout.zeroCode)
            let offset: Float = layout.hasZeroPoints ? 1 : layout.hasOffsets ? 2 : 0  // times the scale
            let expected = 64 * layout.largestCode * sign * (centred * 0.5 + offset)
            for name in layout.instructionSets {
                let result = try linear(
                    weights, packed: weights.packed(), activations: activations, tokens: 9, kernels: linearKernels(name)
                )
                let tolerance = layout.isPrecise ? expected.magnitude * 0x1p-22 : 0
                #expect(
                    result.allSatisfy { ($0 - expected).magnitude <= tolerance },
                    "\(name) code \(code) sign \(sign): \(result[0])")
            }
        }
    }

    /// Zero rows and zero scales give zeros, and large finite numbers stay finite.
    @Test(arguments: Layout.all) func zerosAndLargeValues(_ layout: Layout) throws {
        var weights = Weights(layout, rows: 16, columns: 64)
        let silence = [Float](repeating: 0, count: 64 * 3)
        weights.scales = weights.scales.map { _ in 0 }
        weights.offsets = weights.offsets.map { _ in 0 }
        if !layout.isQuantized { weights.values = weights.values.map { _ in 0 } }  // (of f8 the scales)
        let zeroWeights = weights.packed()
        let loud = Weights(layout, rows: 16, columns: 64)
        let loudWeights = loud.packed()
        for name in layout.instructionSets {
            let kernels = try linearKernels(name)
            let large = randomActivations(tokens: 3, columns: 64).map { $0 * 1e30 }
            #expect(
                try linear(weights, packed: zeroWeights, activations: large, tokens: 3, kernels: kernels)
                    .allSatisfy { $0 == 0 }, "\(name) zero weights")
            #expect(
                try linear(loud, packed: loudWeights, activations: silence, tokens: 3, kernels: kernels)
                    .allSatisfy { $0 == 0 }, "\(name) zero activations")
            #expect(
                try linear(loud, packed: loudWeights, activations: large, tokens: 3, kernels: kernels)
                    .allSatisfy { $0.isFinite }, "\(name) large activations")
        }
    }

    /// A NaN or an infinity in one token's activations shows in that token's outputs and in no other's.
    @Test(arguments: Layout.all, [Float.nan, .infinity]) func faultsStayInTheirToken(_ layout: Layout, fault: Float)
        throws
    {
        let weights = Weights(layout, rows: 17, columns: 64)
        let packed = weights.packed()
        let clean = randomActivations(tokens: 8, columns: 64)
        var faulty = clean
        faulty[3 * 64 + 40] = fault
        for name in layout.instructionSets {
            let kernels = try linearKernels(name)
            let before = try linear(weights, packed: packed, activations: clean, tokens: 8, kernels: kernels)
            let after = try linear(weights, packed: packed, activations: faulty, tokens: 8, kernels: kernels)
            for token in 0..<8 {
                let rows = token * 17..<(token + 1) * 17
                if token == 3 {
                    #expect(after[rows].allSatisfy { !$0.isFinite }, "\(name)")
                } else {
                    #expect(sameBits(after[rows], before[rows]), "\(name) token \(token)")
                }
            }
        }
    }

    /// AVX2 and AVX-512 perform the same integer sums and the same multiply-adds.
    @Test(
        .enabled(if: linearInstructionSets.contains("avx512")),
        arguments: Layout.quantized + Layout.precise + [.f16, .f32, .f8])
    func wideAndNarrowVectorsAgreeToTheBit(_ layout: Layout) throws {
        let weights = Weights(layout, rows: 33, columns: 192)
        let packed = weights.packed()
        let activations = randomActivations(tokens: 10, columns: 192)
        let wide = try linear(
            weights, packed: packed, activations: activations, tokens: 10, kernels: linearKernels("avx512"))
        let narrow = try linear(
            weights, packed: packed, activations: activations, tokens: 10, kernels: linearKernels("avx2"))
        #expect(sameBits(wide, narrow))
    }
}

/// Equality to the bit, of NaN and of the sign of zero too; a failure prints no thousand numbers.
func sameBits(_ a: some Sequence<Float>, _ b: some Sequence<Float>) -> Bool {
    a.map(\.bitPattern) == b.map(\.bitPattern)
}
