import Foundation
import MartletCheckpoints
import TestSupport
import Testing

@Suite struct SafetensorsTests {
    private func open(_ data: Data) throws -> Safetensors {
        try Safetensors(file: MappedFile(contents: data, path: "t.safetensors"))
    }

    @Test func tensorsOfEveryTypeAreFound() throws {
        var file = SafetensorsBuilder()
        let types = ["F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "I32", "I16", "I8", "U8", "BOOL"]
        for type in types { file.add(type, [3, 5], type: type) }
        file.add("scalar", [], [1.5])
        file.add("empty", [0, 4])
        let tensors = try open(file.build()).tensors
        let byName = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0) })
        for type in types {
            #expect(byName[type]?.type.name == type)
            #expect(byName[type]?.shape == [3, 5])
        }
        #expect(byName["scalar"]?.shape == [] && byName["scalar"]?.byteRange.count == 4)
        #expect(byName["empty"]?.byteRange.isEmpty == true)
        for (left, right) in zip(tensors, tensors.dropFirst()) {
            #expect(left.byteRange.upperBound == right.byteRange.lowerBound)
        }
    }

    /// Values by NumPy and `ml_dtypes` (float8_e4m3fn).
    @Test(arguments: [
        (TensorType.f64, [0, 0, 0, 0, 0, 0, 0xF8, 0xBF] as [UInt8], Float(-1.5)),
        (.f8_e4m3, [0x38], 1), (.f8_e4m3, [0x7E], 448), (.f8_e4m3, [0xFE], -448), (.f8_e4m3, [0x01], 0x1p-9),
        (.f8_e4m3, [0x08], 0x1p-6), (.f8_e4m3, [0x87], -7 * 0x1p-9), (.f8_e4m3, [0x45], 3.25),
        (.i8, [0x80], -128), (.u8, [0x80], 128), (.bool, [1], 1), (.i16, [0xFE, 0xFF], -2),
        (.i32, [0xFF, 0xFF, 0xFF, 0xFF], -1), (.i64, [0, 0, 0, 0, 1, 0, 0, 0], 4_294_967_296),
    ])
    func elementsHaveTheirValues(type: TensorType, bytes: [UInt8], value: Float) {
        var result: Float = 0
        bytes.withUnsafeBytes { dequantize(type, $0.baseAddress!, columns: 1, into: &result) }
        #expect(result == value)
    }

    @Test func metadataAndWhitespaceAreFine() throws {
        let header = #" {"a" : {"shape":[2],"data_offsets":[0,8],"dtype":"F32"}, "__metadata__":{"format":"pt"}}   "#
        #expect(
            try open(SafetensorsBuilder.file(header: header, data: .init(repeating: 0, count: 8))).tensors.count == 1)
        #expect(try open(SafetensorsBuilder.file(header: "{}", data: [])).tensors.isEmpty)
    }

    struct Malformed: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let message: String
        let header: String
        let dataCount: Int

        init(_ name: String, _ message: String, _ header: String, data: Int = 8) {
            testDescription = name
            self.message = message
            self.header = header
            dataCount = data
        }

        static func entry(
            _ name: String = "a", _ offsets: String = "[0,8]", type: String = "F32", shape: String = "[2]"
        )
            -> String
        { #""\#(name)":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"# }
    }

    static let malformed: [Malformed] = [
        .init("no JSON", "the header is broken", "hello"),
        .init("cut JSON", "the header is broken", "{" + Malformed.entry()),
        .init("a list", "expected {", "[]"),
        .init("text behind the object", "something after the end", "{\(Malformed.entry())} x"),
        .init("not UTF-8 escape", "lone surrogate", #"{"\ud800":1}"#),
        .init("deep nesting", "expected {", #"{"__metadata__":"# + String(repeating: "[", count: 100_000)),
        .init("metadata of numbers", "expected \"", #"{"__metadata__":{"a":1}}"#),
        .init("a tensor twice", "'a' is there twice", "{\(Malformed.entry()),\(Malformed.entry())}"),
        .init("a member twice", "has 'shape' twice", #"{"a":{"shape":[2],"shape":[2]}}"#),
        .init("an unknown member", "unknown member 'x'", #"{"a":{"x":1}}"#),
        .init("no type", "has no 'dtype'", #"{"a":{"shape":[2],"data_offsets":[0,8]}}"#),
        .init("no shape", "has no 'shape'", #"{"a":{"dtype":"F32","data_offsets":[0,8]}}"#),
        .init("no offsets", "has no 'data_offsets'", #"{"a":{"dtype":"F32","shape":[2]}}"#),
        .init("one offset", "has 1 offsets", "{\(Malformed.entry("a", "[0]"))}"),
        .init("three offsets", "more than two offsets", "{\(Malformed.entry("a", "[0,8,8]"))}"),
        .init("fractional offset", "expected an integer", "{\(Malformed.entry("a", "[0,8.5]"))}"),
        .init("an offset of 2^64", "out of range", "{\(Malformed.entry("a", "[0,18446744073709551616]"))}"),
        .init("a negative offset", "lies at bytes -8 to 0", "{\(Malformed.entry("a", "[-8,0]"))}"),
        .init("offsets in reverse", "lies at bytes 8 to 0", "{\(Malformed.entry("a", "[8,0]"))}"),
        .init("an offset beyond the file", "file truncated", "{\(Malformed.entry("a", "[0,16]", shape: "[4]"))}"),
        .init("an offset of 2^63 - 1", "file truncated", "{\(Malformed.entry("a", "[0,9223372036854775807]"))}"),
        .init("an unknown type", "tensor 'a': has type F4, which is not supported", "{\(Malformed.entry(type: "F4"))}"),
        .init("complex numbers", "has type C64", "{\(Malformed.entry(type: "C64"))}"),
        .init(
            "a shape that does not fit", "which is 12 bytes, but its offsets span 8",
            "{\(Malformed.entry(shape: "[3]"))}"),
        .init("a negative dimension", "has a dimension of -2", "{\(Malformed.entry(shape: "[-2]"))}"),
        .init(
            "a size that overflows", "more bytes than 64 bits",
            "{\(Malformed.entry(shape: "[4294967296,4294967296]"))}"),
        .init(
            "17 dimensions", "more than 16 dimensions",
            "{\(Malformed.entry(shape: "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]"))}"),
        .init(
            "an overlap", "tensor 'b': overlaps", "{\(Malformed.entry()),\(Malformed.entry("b", "[4,12]"))}", data: 12),
        .init("the same place", "overlaps", "{\(Malformed.entry()),\(Malformed.entry("b"))}"),
        .init(
            "a gap", "starts 4 bytes behind", "{\(Malformed.entry()),\(Malformed.entry("b", "[12,20]"))}", data: 20),
        .init("a gap at the start", "starts 4 bytes behind", "{\(Malformed.entry("a", "[4,12]"))}", data: 12),
        .init("bytes at the end", "has 3 bytes behind its last tensor", "{\(Malformed.entry())}", data: 11),
    ]

    @Test(arguments: malformed)
    func malformedFilesAreClearErrors(file: Malformed) throws {
        let data = SafetensorsBuilder.file(header: file.header, data: .init(repeating: 0, count: file.dataCount))
        let error = #expect(throws: CheckpointError.self) { try open(data) }
        #expect(error?.description.contains(file.message) == true, "\(String(describing: error))")
        #expect(error?.file == "t.safetensors")
    }

    @Test(arguments: [
        (Data([1, 0, 0, 0]), "header's length"), (Data(UInt64.max.bytes), "more than the limit"),
        (Data((UInt64(1) << 63).bytes), "more than the limit"),
        (Data(UInt64(100_000_001).bytes), "more than the limit"),
        (Data(UInt64(100).bytes + [0x7B]), "file truncated"),
        (Data(UInt64(2).bytes + [0xFF, 0xFE]), "not UTF-8"),
    ])
    func lengthsAreChecked(data: Data, message: String) {
        let error = #expect(throws: CheckpointError.self) { try open(data) }
        #expect(error?.description.contains(message) == true, "\(String(describing: error))")
    }

    /// A file cut at any byte, or with any byte of its header changed, is an error or a file whose tensors can be read.
    @Test func wrongBytesNeverTrap() throws {
        let bytes = Array(TinyModelFolder().weights.build())
        let headerEnd = Int(bytes[0]) + Int(bytes[1]) << 8 + 8
        for length in stride(from: 1, to: bytes.count, by: 7) {
            #expect(throws: CheckpointError.self) { try open(Data(bytes.prefix(length))) }
        }
        for position in 0..<headerEnd {
            for value in [0, 0x22, 0x2D, 0x39, 0x5D, 0x7D, 0xFF] as [UInt8] where value != bytes[position] {
                var changed = bytes
                changed[position] = value
                guard let file = try? open(Data(changed)) else { continue }
                for tensor in file.tensors {
                    #expect(tensor.byteRange.upperBound <= file.file.size)
                    #expect(tensor.rows * tensor.rowBytes == tensor.byteRange.count)
                }
            }
        }
    }
}
