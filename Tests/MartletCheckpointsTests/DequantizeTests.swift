import Foundation
import MartletCheckpoints
import Testing

/// One record of dequantize.bin, which make_dequantize.py writes.
struct DequantizeFixture: Sendable, CustomTestStringConvertible {
    let type: TensorType
    let source: [UInt8]
    let expected: [Float]
    var testDescription: String { type.name }

    static let all: [DequantizeFixture] = {
        guard let url = Bundle.module.url(forResource: "Fixtures/dequantize", withExtension: "bin"),
            let data = try? Data(contentsOf: url)
        else { return [] }
        var fixtures: [DequantizeFixture] = []
        var bytes = [UInt8](data)[...]
        func take(_ count: Int) -> [UInt8] {
            defer { bytes = bytes.dropFirst(count) }
            return Array(bytes.prefix(count))
        }
        func word() -> UInt32 { take(4).reversed().reduce(0) { $0 << 8 | UInt32($1) } }
        while !bytes.isEmpty {
            let (type, elements, size) = (word(), Int(word()), Int(word()))
            let source = take(size)
            let expected = (0..<elements).map { _ in Float(bitPattern: word()) }
            if let type = TensorType(ggmlType: type) {
                fixtures.append(DequantizeFixture(type: type, source: source, expected: expected))
            }
        }
        return fixtures
    }()
}

@Suite struct DequantizeTests {
    @Test func `there is a fixture for every type`() {
        #expect(Set(DequantizeFixture.all.map(\.type)) == Set(TensorType.ggmlTypes))
    }

    /// Equal bits, except that any NaN equals any NaN: which operand's payload survives is the processor's choice.
    @Test(arguments: DequantizeFixture.all)
    func `floats are bit-equal to the gguf package's`(fixture: DequantizeFixture) {
        let count = fixture.expected.count
        #expect(fixture.source.count == fixture.type.rowBytes(columns: count))
        var result = [Float](repeating: 12345, count: count + 1)
        // One byte off, so that a load that needs alignment traps.
        let shifted = [0] + fixture.source
        shifted.withUnsafeBytes { source in
            result.withUnsafeMutableBufferPointer { output in
                dequantize(fixture.type, source.baseAddress! + 1, columns: count, into: output.baseAddress!)
            }
        }
        let wrong = (0..<count).filter { !sameBits(result[$0], fixture.expected[$0]) }
        #expect(wrong.isEmpty, "\(wrong.count) of \(count), first at \(wrong.first ?? -1)")
        #expect(result[count] == 12345, "wrote past the end")
        #expect(fixture.expected.contains { $0.isFinite && $0 != 0 })
    }

    @Test(arguments: DequantizeFixture.all.filter(\.type.isQuantized))
    func `scale times code plus offset is the weight`(fixture: DequantizeFixture) throws {
        let affine = try #require(fixture.type.affine)
        let count = fixture.expected.count
        let row = DecodedRow(fixture.source, fixture.type, affine, columns: count)
        for column in 0..<count {
            let (scale, offset) = row.factors(column)
            #expect(Int(row.codes[column]) < 1 << affine.bits)
            let value =
                affine.isSymmetric
                // One subtraction of small integers is exact: the product must be equal to the bit.
                ? scale * Float(Int(row.codes[column]) - affine.zeroPoint)
                : scale * Float(row.codes[column]) + offset
            #expect(sameBits(value, fixture.expected[column]), "column \(column)")
            if affine.isSymmetric, affine.superGroupSize == nil {
                #expect(sameBits(offset, -Float(affine.zeroPoint) * scale))
            }
        }
    }

    @Test func `every half-precision number is converted exactly`() {
        for bits in UInt16.min...UInt16.max {
            let converted = withUnsafeBytes(of: bits.littleEndian) { loadHalf($0.baseAddress!) }
            // From the definition, in double precision: sign, five exponent bits, ten fraction bits.
            let (exponent, fraction) = (Int(bits >> 10 & 31), Double(bits & 1023) / 1024)
            let magnitude: Double =
                switch exponent {
                case 0: scalbn(fraction, -14)
                case 31: fraction == 0 ? .infinity : .nan
                default: scalbn(1 + fraction, exponent - 15)
                }
            let expected = Float(bits >> 15 == 1 ? -magnitude : magnitude)
            #expect(sameBits(converted, expected), "0x\(String(bits, radix: 16))")
        }
    }
}

func sameBits(_ a: Float, _ b: Float) -> Bool { a.bitPattern == b.bitPattern || (a.isNaN && b.isNaN) }

/// The affine view of a row, decoded into arrays that end with a canary each.
private struct DecodedRow {
    let affine: AffineFormat
    var codes: [UInt8]
    var scales: [Float]
    var offsets: [Float]
    var scaleFactors: [UInt8]
    var offsetFactors: [UInt8]

    init(_ source: [UInt8], _ type: TensorType, _ affine: AffineFormat, columns: Int) {
        self.affine = affine
        let groups = columns / affine.groupSize
        let scaleCount = columns / (affine.superGroupSize ?? affine.groupSize)
        codes = [UInt8](repeating: 77, count: columns + 1)
        scales = [Float](repeating: 77, count: scaleCount + 1)
        offsets = scales
        scaleFactors = [UInt8](repeating: 77, count: groups + 1)
        offsetFactors = scaleFactors
        source.withUnsafeBytes { source in
            codes.withUnsafeMutableBufferPointer { codes in
                scales.withUnsafeMutableBufferPointer { scales in
                    offsets.withUnsafeMutableBufferPointer { offsets in
                        scaleFactors.withUnsafeMutableBufferPointer { scaleFactors in
                            offsetFactors.withUnsafeMutableBufferPointer { offsetFactors in
                                affineRow(
                                    type, source.baseAddress!, columns: columns,
                                    into: AffineRowBuffers(
                                        codes: codes.baseAddress!, scales: scales.baseAddress!,
                                        offsets: offsets.baseAddress!, scaleFactors: scaleFactors.baseAddress!,
                                        offsetFactors: offsetFactors.baseAddress!))
                            }
                        }
                    }
                }
            }
        }
        #expect(codes[columns] == 77 && scales[scaleCount] == 77 && offsets[scaleCount] == 77, "wrote past the end")
        #expect(scaleFactors[groups] == 77 && offsetFactors[groups] == 77, "wrote past the end")
    }

    func factors(_ column: Int) -> (scale: Float, offset: Float) {
        let group = column / affine.groupSize
        guard let superGroup = affine.superGroupSize else { return (scales[group], offsets[group]) }
        let factor = scaleFactors[group]
        if affine.isSymmetric { return (scales[column / superGroup] * Float(Int8(bitPattern: factor)), 0) }
        return (
            scales[column / superGroup] * Float(factor), offsets[column / superGroup] * Float(offsetFactors[group])
        )
    }
}
