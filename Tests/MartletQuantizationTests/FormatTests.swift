import Foundation
import MartletCPU
import MartletCheckpoints
import TestSupport
import Testing

@testable import MartletQuantization

@Suite struct FormatTests {
    /// 0, the smallest and largest subnormal and normal halves, ties, and what is too large.
    @Test(
        arguments: [
            (0, 0), (-0.0, 0x8000), (0x1p-24, 1), (0x1p-25, 0), (0x1.8p-24, 2), (0x1p-14, 0x400), (1, 0x3C00),
            (1.00048828125, 0x3C00), (1.00146484375, 0x3C02), (65504, 0x7BFF), (65519, 0x7BFF), (65520, 0x7C00),
            (-.infinity, 0xFC00), (0x1.FF4p-15, 0x3FE), (0x1.FFFp-15, 0x400),
        ] as [(Float, UInt16)])
    func halves(_ value: Float, _ bits: UInt16) {
        #expect(FloatStorage.f16.bits(value) == bits)
    }

    @Test func everyHalfIsItself() {
        for bits in UInt16.min...UInt16.max {
            let value = withUnsafeBytes(of: bits.littleEndian) { loadHalf($0.baseAddress.unsafelyUnwrapped) }
            guard !value.isNaN else { continue }
            #expect(FloatStorage.f16.bits(value) == bits)
            #expect(FloatStorage.f16.rounded(value) == value)
        }
    }

    @Test func brainFloats() {
        #expect(FloatStorage.bf16.bits(1) == 0x3F80)
        #expect(FloatStorage.bf16.bits(1.00390625) == 0x3F80)  // a tie, to even
        #expect(FloatStorage.bf16.bits(1.01171875) == 0x3F82)
        #expect(FloatStorage.bf16.rounded(3.140625) == 3.140625)
    }

    @Test(arguments: [(4, false), (4, true), (8, false), (8, true)])
    func rounding(_ bits: Int, _ isSymmetric: Bool) throws {
        let grid = QuantizationGrid(bits: bits, isSymmetric: isSymmetric, scaleStorage: .f16, smallestZero: 0)
        var random = TestGenerator(seed: 1)
        let values = (0..<64).map { _ in random.normal() + 0.3 }
        let group = grid.group(values, count: 64)
        #expect(FloatStorage.f16.rounded(group.scale) == group.scale)
        for value in values {
            // Half a step, and at the ends of a symmetric 4-bit grid as much again; a zero point is rounded, too.
            #expect(abs(grid.value(grid.code(value, group), group) - value) <= group.scale * 1.01)
        }
        #expect(grid.value(grid.code(0, group), group) == 0)
        #expect(grid.code(.nan, group) == 0)
        let zeros = grid.group([Float](repeating: 0, count: 8), count: 8)
        #expect(grid.value(grid.code(0, zeros), zeros) == 0)
    }

    // MARK: Unpacking, written without looking at the packing

    private func matrix(_ grid: QuantizationGrid, groupSize: Int?, index: [Int32]? = nil) -> QuantizedMatrix {
        var random = TestGenerator(seed: 9)
        let matrix = QuantizedMatrix(rows: 16, columns: 64, groupSize: groupSize, grid: grid, groupIndex: index)
        for position in 0..<16 * 64 { matrix.codes[position] = UInt8(random.next() % (1 << UInt64(grid.bits))) }
        for row in 0..<16 {
            for group in 0..<matrix.groups {
                let zero = grid.isSymmetric ? 1 << (grid.bits - 1) : Int(1 + random.next() % 15)
                matrix.setGroup(
                    .init(scale: FloatStorage.f16.rounded(0.1 + random.normal().magnitude), zero: Float(zero)),
                    row: row, index: group)
            }
        }
        return matrix
    }

    private struct Reader {
        var tensors: [String: OutputTensor]

        init(_ tensors: [OutputTensor]) {
            self.tensors = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0) })
        }

        func word(_ name: String, _ row: Int, _ column: Int) throws -> UInt32 {
            let tensor = try #require(tensors["x." + name])
            return tensor.bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: 4 * (row * tensor.shape[1] + column), as: UInt32.self)
            }
        }

        func half(_ name: String, _ row: Int, _ column: Int) throws -> Float {
            let tensor = try #require(tensors["x." + name])
            return tensor.bytes.withUnsafeBytes {
                loadHalf($0.baseAddress.unsafelyUnwrapped + 2 * (row * tensor.shape[1] + column))
            }
        }
    }

    private func expectEqual(_ matrix: QuantizedMatrix, _ value: (_ row: Int, _ column: Int) throws -> Float) rethrows {
        let expected = matrix.dequantized()
        for row in 0..<matrix.rows {
            for column in 0..<matrix.columns { #expect(try value(row, column) == expected.row(row)[column]) }
        }
    }

    @Test func awq() throws {
        let grid = QuantizationGrid(bits: 4, isSymmetric: false, scaleStorage: .f16, smallestZero: 0)
        let matrix = matrix(grid, groupSize: 32)
        let reader = Reader(QuantizedFormat.awq.tensors("x", matrix, scales: .f16))
        let nibble = [0, 4, 1, 5, 2, 6, 3, 7]
        try expectEqual(matrix) { row, column in
            let shift = UInt32(4 * nibble[row % 8])
            let code = try reader.word("qweight", column, row / 8) >> shift & 15
            let zero = try reader.word("qzeros", column / 32, row / 8) >> shift & 15
            return (Float(code) - Float(zero)) * (try reader.half("scales", column / 32, row))
        }
        #expect(reader.tensors["x.qweight"]?.shape == [64, 2])
        #expect(reader.tensors["x.qzeros"]?.shape == [2, 2])
    }

    @Test(arguments: [(4, true, false), (4, false, true), (8, true, true), (8, false, false)])
    func gptq(_ bits: Int, _ isSymmetric: Bool, _ actOrder: Bool) throws {
        let grid = QuantizationGrid(bits: bits, isSymmetric: isSymmetric, scaleStorage: .f16, smallestZero: 1)
        let index = actOrder ? (0..<64).map { Int32($0 * 5 % 64 / 32) } : nil
        let matrix = matrix(grid, groupSize: 32, index: index)
        let reader = Reader(QuantizedFormat.gptq.tensors("x", matrix, scales: .f16))
        let (perWord, mask) = (32 / bits, UInt32(1 << bits - 1))
        let groups = try #require(reader.tensors["x.g_idx"]).bytes
        try expectEqual(matrix) { row, column in
            let group = Int(groups[4 * column])
            let code = try reader.word("qweight", column / perWord, row) >> UInt32(column % perWord * bits) & mask
            let zero = try reader.word("qzeros", group, row / perWord) >> UInt32(row % perWord * bits) & mask
            return (Float(code) - Float(isSymmetric ? zero + 1 : zero)) * (try reader.half("scales", group, row))
        }
    }

    @Test(arguments: [(4, true, 32), (4, false, 32), (8, true, nil), (8, false, nil)] as [(Int, Bool, Int?)])
    func packQuantized(_ bits: Int, _ isSymmetric: Bool, _ groupSize: Int?) throws {
        let grid = QuantizationGrid(bits: bits, isSymmetric: isSymmetric, scaleStorage: .f16, smallestZero: 0)
        let matrix = matrix(grid, groupSize: groupSize)
        let reader = Reader(QuantizedFormat.packQuantized.tensors("x", matrix, scales: .f16))
        let (perWord, mask) = (32 / bits, UInt32(1 << bits - 1))
        try expectEqual(matrix) { row, column in
            let group = column / (groupSize ?? 64)
            let code = try reader.word("weight_packed", row, column / perWord) >> UInt32(column % perWord * bits) & mask
            var zero = UInt32(1 << (bits - 1))
            if !isSymmetric {
                zero = try reader.word("weight_zero_point", row / perWord, group) >> UInt32(row % perWord * bits) & mask
            }
            return (Float(code) - Float(zero)) * (try reader.half("weight_scale", row, group))
        }
        #expect(reader.tensors["x.weight_shape"]?.bytes == [16, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func intQuantized() throws {
        let grid = QuantizationGrid(bits: 8, isSymmetric: true, scaleStorage: .f16, smallestZero: 0)
        let matrix = matrix(grid, groupSize: nil)
        let reader = Reader(QuantizedFormat.intQuantized.tensors("x", matrix, scales: .f16))
        let codes = try #require(reader.tensors["x.weight"]).bytes
        try expectEqual(matrix) { row, column in
            Float(Int8(bitPattern: codes[row * 64 + column])) * (try reader.half("weight_scale", row, 0))
        }
    }
}
