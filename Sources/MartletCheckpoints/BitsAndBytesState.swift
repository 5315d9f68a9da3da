import MartletJSON

/// What bitsandbytes says about a layer that it stored in 4 bits: JSON in the bytes of a tensor
/// (`….weight.quant_state.bitsandbytes__nf4`).
package struct BitsAndBytesState {
    /// Values that share a scale; they follow each other through all rows.
    package let blockSize: Int
    /// `[outputs, inputs]`.
    package let shape: [Int]
    /// The type of the weights before and after: F32, F16 or BF16.
    package let type: TensorType
    /// Where the scales are quantized themselves: how many of them share a scale, and what is added to all.
    package let nested: (blockSize: Int, offset: Float)?

    /// - Throws: `CheckpointError` for a state that is no such JSON.
    package init(_ tensor: StoredTensor) throws(CheckpointError) {
        func failure(_ reason: String) -> CheckpointError {
            CheckpointError(file: tensor.file.path, tensor: tensor.descriptor.name, reason: reason)
        }
        guard tensor.type == .u8, tensor.shape.count == 1, (1...65_536).contains(tensor.columns) else {
            throw failure("is \(tensor.type.name) \(tensor.shape), expected a text in U8")
        }
        let bytes = UnsafeRawBufferPointer(start: tensor.source(row: 0), count: tensor.columns)
        let json: JSONValue
        do {
            json = try JSONValue(parsing: Array(bytes))
        } catch {
            throw failure("is not valid JSON: \(error.message)")
        }
        func integer(_ value: JSONValue, _ key: String) throws(CheckpointError) -> Int {
            guard let number = value.integer, (1...ModelConfiguration.Limits.vocabulary).contains(number) else {
                throw failure("has no '\(key)' from 1 to \(ModelConfiguration.Limits.vocabulary)")
            }
            return number
        }
        blockSize = try integer(json["blocksize"], "blocksize")
        let sizes = json["shape"].array ?? []
        guard sizes.count == 2 else { throw failure("has no 'shape' of two sizes") }
        shape = [try integer(sizes[0], "shape"), try integer(sizes[1], "shape")]
        switch json["dtype"].text {
        case "float32": type = .f32
        case "float16": type = .f16
        case "bfloat16": type = .bf16
        case let name: throw failure("has the dtype '\(name ?? "")', expected float32, float16 or bfloat16")
        }
        if json["nested_blocksize"].isNull {
            nested = nil
        } else {
            guard let offset = json["nested_offset"].number, offset.magnitude < 1e30 else {
                throw failure("has no finite 'nested_offset'")
            }
            nested = (try integer(json["nested_blocksize"], "nested_blocksize"), Float(offset))
        }
    }
}
