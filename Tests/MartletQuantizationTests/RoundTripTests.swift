import Foundation
import MartletCheckpoints
import MartletGraph
import MartletModels
import TestSupport
import Testing

@testable import MartletQuantization

/// What we make, our engine reads: every weight that it computes with is what an unpacker that shares no code with either side
/// reads from the file.
@Suite struct RoundTripTests {
    @Test(
        arguments: [
            ("llama", QuantizationSettings.Method.awq, 4, 32, nil), ("qwen3", .gptq, 4, 32, true),
            ("qwen2", .gptq, 4, 64, false), ("mistral", .gptq, 8, -1, true), ("llama", .rtn, 4, 64, nil),
            ("qwen2", .rtn, 4, 32, true), ("qwen3", .rtn, 8, -1, nil), ("llama", .smoothquant, 8, -1, nil),
        ] as [(String, QuantizationSettings.Method, Int, Int, Bool?)])
    func weightsThatTheEngineReads(
        _ architecture: String, _ method: QuantizationSettings.Method, _ bits: Int, _ group: Int, _ isSymmetric: Bool?
    ) throws {
        let source = try RandomModel(architecture: architecture).write()
        let place = try TemporaryFolder()
        var settings = try QuantizationSettings(method, bits: bits, groupSize: group, isSymmetric: isSymmetric)
        settings.actOrder = method == .gptq && group == 32
        let destination = place.path + "/out"
        _ = try Quantizer(
            source: source.path, destination: destination, settings: settings,
            calibration: CalibrationText(RandomModel.text(300), samples: nil, length: 30), threads: 2
        ).run { _, _ in }

        let file = try PackedFile(destination + "/model.safetensors")
        let weights = try Weights(Checkpoint(path: destination))
        var compared = 0
        for layer in 0..<2 {
            for linear in LayerGroup.linears {
                let name = "model.layers.\(layer).\(linear)"
                let rows = try file.weights(name, settings)
                let weight = try weights.linear(name, rows: rows.count, columns: rows[0].count)
                #expect(weight.dequantizedRows(rows.count) == rows.flatMap { $0 })
                compared += 1
            }
        }
        #expect(compared == 14)
    }
}

/// Quantized tensors by the formats' definitions, one element at a time.
private struct PackedFile {
    private let file: Safetensors

    init(_ path: String) throws { file = try Safetensors(path: path) }

    private func bytes(_ name: String) throws -> (shape: [Int], bytes: UnsafeRawBufferPointer) {
        let tensor = try #require(file.tensors.first { $0.name == name })
        return (tensor.shape, UnsafeRawBufferPointer(rebasing: file.file.bytes[tensor.byteRange]))
    }

    /// Element (row, column) of codes packed along rows or columns.
    private func codes(_ name: String, bits: Int, alongRows: Bool) throws -> (Int, Int) -> Int {
        let (shape, bytes) = try bytes(name)
        let perWord = 32 / bits
        return { row, column in
            let (word, place) =
                alongRows
                ? (row / perWord * shape[1] + column, row % perWord)
                : (row * shape[1] + column / perWord, column % perWord)
            let value = bytes.loadUnaligned(fromByteOffset: 4 * word, as: UInt32.self)
            return Int(value >> UInt32(place * bits)) & (1 << bits - 1)
        }
    }

    private func halves(_ name: String) throws -> (Int, Int) -> Float {
        let (shape, bytes) = try bytes(name)
        return { row, column in
            let offset = 2 * (row * shape[1] + column)
            return withUnsafeBytes(of: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)) {
                loadHalf($0.baseAddress.unsafelyUnwrapped)
            }
        }
    }

    /// `[outputs][inputs]`.
    func weights(_ name: String, _ settings: QuantizationSettings) throws -> [[Float]] {
        switch settings.format {
        case .awq:
            let (codes, zeros) = (
                try self.codes(name + ".qweight", bits: 4, alongRows: false),
                try self.codes(name + ".qzeros", bits: 4, alongRows: false)
            )
            let scales = try halves(name + ".scales")
            let shape = try bytes(name + ".qweight").shape
            let place = [0, 4, 1, 5, 2, 6, 3, 7]
            return (0..<shape[1] * 8).map { output in
                let column = output / 8 * 8 + place[output % 8]
                return (0..<shape[0]).map { input in
                    let group = input / (settings.groupSize ?? shape[0])
                    return Float(codes(input, column) - zeros(group, column)) * scales(group, output)
                }
            }
        case .gptq:
            let codes = try self.codes(name + ".qweight", bits: settings.bits, alongRows: true)
            let zeros = try self.codes(name + ".qzeros", bits: settings.bits, alongRows: false)
            let scales = try halves(name + ".scales")
            let groups = try bytes(name + ".g_idx")
            let outputs = try bytes(name + ".scales").shape[1]
            return (0..<outputs).map { output in
                (0..<groups.shape[0]).map { input in
                    let group = Int(groups.bytes.loadUnaligned(fromByteOffset: 4 * input, as: Int32.self))
                    let zero = zeros(group, output) + (settings.isSymmetric ? 1 : 0)
                    return Float(codes(input, output) - zero) * scales(group, output)
                }
            }
        case .packQuantized:
            let codes = try self.codes(name + ".weight_packed", bits: settings.bits, alongRows: false)
            let scales = try halves(name + ".weight_scale")
            let zeros =
                settings.isSymmetric
                ? nil : try self.codes(name + ".weight_zero_point", bits: settings.bits, alongRows: true)
            let (shape, sizes) = try bytes(name + ".weight_shape")
            #expect(shape == [2])
            let (rows, columns) = (
                sizes.loadUnaligned(as: Int.self), sizes.loadUnaligned(fromByteOffset: 8, as: Int.self)
            )
            return (0..<rows).map { row in
                (0..<columns).map { column in
                    let group = column / (settings.groupSize ?? columns)
                    let zero = zeros?(row, group) ?? 1 << (settings.bits - 1)
                    return Float(codes(row, column) - zero) * scales(row, group)
                }
            }
        case .intQuantized:
            let (shape, codes) = try bytes(name + ".weight")
            let scales = try halves(name + ".weight_scale")
            return (0..<shape[0]).map { row in
                (0..<shape[1]).map { Float(Int8(bitPattern: codes[row * shape[1] + $0])) * scales(row, 0) }
            }
        }
    }
}
