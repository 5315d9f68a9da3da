public import Foundation

/// Writes safetensors files for tests: valid ones, or any header with any data behind it.
public struct SafetensorsBuilder: Sendable {
    public struct Tensor: Sendable {
        public var name: String
        public var type: String
        public var shape: [Int]
        public var data: [UInt8]
    }

    public var tensors: [Tensor] = []

    public init() {}

    /// Adds a tensor; without data, of zeros.
    public mutating func add(_ name: String, _ shape: [Int], type: String = "F32", data: [UInt8]? = nil) {
        let bytes = shape.reduce(Self.size(of: type), *)
        tensors.append(
            Tensor(name: name, type: type, shape: shape, data: data ?? [UInt8](repeating: 0, count: bytes)))
    }

    public mutating func add(_ name: String, _ shape: [Int], _ values: [Float]) {
        add(
            name, shape,
            data: values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init) })
    }

    public mutating func change(_ name: String, _ body: (inout Tensor) -> Void) {
        for index in tensors.indices where tensors[index].name == name { body(&tensors[index]) }
    }

    public mutating func remove(_ name: String) { tensors.removeAll { $0.name == name } }

    public func build() -> Data {
        var data: [UInt8] = []
        let entries = tensors.map { tensor in
            defer { data += tensor.data }
            return #""\#(tensor.name)":{"dtype":"\#(tensor.type)","shape":\#(tensor.shape),"#
                + #""data_offsets":[\#(data.count),\#(data.count + tensor.data.count)]}"#
        }
        return Self.file(header: "{" + entries.joined(separator: ",") + "}", data: data)
    }

    /// A file with any header.
    public static func file(header: String, data: [UInt8]) -> Data {
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) } + Data(header.utf8) + Data(data)
    }

    private static func size(of type: String) -> Int {
        switch type {
        case "F64", "I64": 8
        case "F32", "I32": 4
        case "F16", "BF16", "I16": 2
        default: 1
        }
    }
}
