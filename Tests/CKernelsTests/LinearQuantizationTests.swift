import CKernels
import Testing

@Suite struct LinearQuantizationTests {
    /// One token of a q8 tile, read back field by field as the header lays them out.
    struct Block: Equatable {
        var codes: [Int8], scale: Float, zeroLow: Int32, zeroHigh: Int32, scaledSum: Float

        init(_ tile: AlignedBytes, tokens: Int, group: Int, index: Int) {
            let block = tile.base + group * tokens * 48
            let sums = block + tokens * 32
            codes = (0..<32).map { (block + index * 32 + $0).load(as: Int8.self) }
            scale = (sums + 4 * index).load(as: Float.self)
            zeroLow = (sums + 4 * (tokens + index)).load(as: Int32.self)
            zeroHigh = (sums + 4 * (2 * tokens + index)).load(as: Int32.self)
            scaledSum = (sums + 4 * (3 * tokens + index)).load(as: Float.self)
        }

        init(_ group: QuantizedGroup) {
            codes = group.codes.map { Int8($0) } + [Int8](repeating: 0, count: 32 - group.codes.count)
            scale = group.scale
            zeroLow = -8 * Int32(codes[..<16].reduce(0) { $0 + Int($1) })
            zeroHigh = -8 * Int32(codes[16...].reduce(0) { $0 + Int($1) })
            scaledSum = scale * Float(codes.reduce(0) { $0 + Int($1) })
        }
    }

    /// Exactly the obvious arithmetic, at each place of tiles of each size, with a ragged last group.
    @Test(arguments: linearInstructionSets) func q8MatchesReference(_ name: String) throws {
        let kernels = try linearKernels(name)
        for columns in [1, 15, 16, 17, 32, 40, 64, 100] {
            let padded = (columns + 63) / 64 * 64
            for tokens in 1...8 {
                let rows = randomActivations(tokens: tokens, columns: columns, seed: UInt64(columns))
                let tile = packActivations(rows, tokens: tokens, columns: columns, for: .q4s, with: kernels)
                for token in 0..<tokens {
                    let row = rows[token * columns..<(token + 1) * columns]
                    for group in 0..<padded / 32 {
                        let first = min(row.startIndex + group * 32, row.endIndex)
                        let expected = QuantizedGroup(row[first..<min(first + 32, row.endIndex)])
                        #expect(Block(tile, tokens: tokens, group: group, index: token) == Block(expected))
                    }
                }
            }
        }
    }

    /// 15-bit codes in two parts, of which the low one stays small.
    @Test(arguments: linearInstructionSets) func q16MatchesReference(_ name: String) throws {
        let kernels = try linearKernels(name)
        let layout = Layout.precise[0]
        for columns in [1, 17, 32, 100] {
            let padded = (columns + 63) / 64 * 64
            for tokens in 1...8 {
                let rows = randomActivations(tokens: tokens, columns: columns, seed: UInt64(columns))
                let tile = packActivations(rows, tokens: tokens, columns: columns, for: layout, with: kernels)
                for token in 0..<tokens {
                    let row = rows[token * columns..<(token + 1) * columns]
                    for group in 0..<padded / 32 {
                        let first = min(row.startIndex + group * 32, row.endIndex)
                        let expected = QuantizedGroup(row[first..<min(first + 32, row.endIndex)], largestCode: 16319)
                        let codes = expected.codes + [Int](repeating: 0, count: 32 - expected.codes.count)
                        let block = tile.base + group * tokens * 80
                        let high = (0..<32).map { Int((block + token * 32 + $0).load(as: Int8.self)) }
                        let low = (0..<32).map { Int((block + (tokens + token) * 32 + $0).load(as: Int8.self)) }
                        let joined: [Int] = zip(high, low).map { 128 * $0.0 + $0.1 }
                        #expect(joined == codes)
                        #expect(low.allSatisfy { (-64...63).contains($0) })
                        let sums = block + tokens * 64
                        #expect((sums + 4 * token).load(as: Float.self) == expected.scale)
                        let zeros = [1, 2].map { (sums + 4 * ($0 * tokens + token)).load(as: Int32.self) }
                        let lowSum = codes[..<16].reduce(0, +)
                        let sum = codes.reduce(0, +)
                        #expect(zeros == [Int32(-8 * lowSum), Int32(-8 * (sum - lowSum))])
                        #expect(
                            (sums + 4 * (3 * tokens + token)).load(as: Float.self)
                                == expected.scale * Float(sum))
                    }
                }
            }
        }
    }

    /// Ties go to the even code; the largest magnitude becomes 127 or -127 even where 127 / largest rounds up.
    @Test(arguments: linearInstructionSets) func q8RoundsTiesToEven(_ name: String) throws {
        var row: [Float] = [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -126.5]
        row += [Float](repeating: 0, count: 32 - row.count)
        let tile = packActivations(row, tokens: 1, columns: 32, for: .q4s, with: try linearKernels(name))
        let block = Block(tile, tokens: 1, group: 0, index: 0)
        #expect(Array(block.codes[..<9]) == [127, 0, 2, 2, 0, -2, -2, 126, -126])
        #expect(block.scale == 1)
        for step in 0..<100 {
            let largest = -1 - Float(step) / 64
            let tile = packActivations([largest], tokens: 1, columns: 1, for: .q4s, with: try linearKernels(name))
            #expect(Block(tile, tokens: 1, group: 0, index: 0).codes[0] == -127)
        }
    }

    /// Zero, vanishing and non-finite groups: codes are zero and the scale tells.
    @Test(arguments: linearInstructionSets) func q8Extremes(_ name: String) throws {
        for value in [0, Float.leastNonzeroMagnitude, 1e-37, .infinity, -.infinity, .nan] {
            let row = [value] + [Float](repeating: value == 0 ? 0 : 1e-38, count: 31)
            let tile = packActivations(row, tokens: 1, columns: 32, for: .q4s, with: try linearKernels(name))
            let block = Block(tile, tokens: 1, group: 0, index: 0)
            #expect(block.codes.allSatisfy { $0 == 0 }, "\(name) \(value)")
            #expect(value.isFinite ? block.scale <= 1e-37 : !block.scale.isFinite, "\(name) \(value)")
        }
        let large = packActivations(
            [.greatestFiniteMagnitude, -.greatestFiniteMagnitude], tokens: 1, columns: 2, for: .q4s,
            with: try linearKernels(name))
        #expect(Array(Block(large, tokens: 1, group: 0, index: 0).codes[..<2]) == [127, -127])
    }

    /// bf16 tiles: pairs of columns, token by token, padded with zeros.
    @Test(arguments: linearInstructionSets) func bf16MatchesReference(_ name: String) throws {
        let kernels = try linearKernels(name)
        for columns in [1, 31, 32, 33, 70] {
            let padded = (columns + 31) / 32 * 32
            for tokens in 1...8 {
                let rows = randomActivations(tokens: tokens, columns: columns, seed: UInt64(columns))
                let tile = packActivations(rows, tokens: tokens, columns: columns, for: .bf16, with: kernels)
                for token in 0..<tokens {
                    for k in 0..<padded {
                        let place = tile.base + ((k / 2 * tokens + token) * 2 + k % 2) * 2
                        let expected = k < columns ? bfloat16(rows[token * columns + k]) : 0
                        #expect(UInt32(place.load(as: UInt16.self)) << 16 == expected.bitPattern)
                    }
                }
            }
        }
    }
}
