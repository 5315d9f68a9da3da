/// A tensor in its file, read row by row in canonical order. A tensor of more than two dimensions counts as a matrix of
/// `descriptor.rows` rows; a vector is one row.
package struct StoredTensor: Sendable {
    /// The canonical (Hugging Face) name; `descriptor.name` is the file's.
    package let name: String
    package let descriptor: TensorDescriptor
    package let file: MappedFile
    package let rowOrder: RowOrder

    package var shape: [Int] { descriptor.shape }
    package var type: TensorType { descriptor.type }
    package var rows: Int { descriptor.rows }
    package var columns: Int { descriptor.columns }

    /// Refuses a row order that does not fit the shape.
    init(
        name: String, descriptor: TensorDescriptor, file: MappedFile, rowOrder: RowOrder
    ) throws(CheckpointError) {
        func failure(_ reason: String) -> CheckpointError {
            CheckpointError(file: file.path, tensor: descriptor.name, reason: reason)
        }
        if case .interleavedRope(let heads, let headDim) = rowOrder {
            // A bias is a vector whose elements are in the order of the matrix's rows.
            let outputs = descriptor.shape[0]
            guard descriptor.shape.count <= 2, headDim % 2 == 0, outputs == heads * headDim else {
                throw failure("has shape \(descriptor.shape), but \(heads) heads of \(headDim) need \(heads * headDim)")
            }
            guard descriptor.shape.count == 2 || !descriptor.type.isQuantized else {
                throw failure("is a quantized bias (\(descriptor.type.name)), which is not supported")
            }
        }
        self.name = name
        self.descriptor = descriptor
        self.file = file
        self.rowOrder = rowOrder
    }

    /// The stored bytes of a row, `type.rowBytes(columns:)` of them, valid while the file is.
    package func source(row: Int) -> UnsafeRawPointer {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        let sourceRow = shape.count == 1 ? row : rowOrder.sourceRow(row)
        return base + sourceRow * descriptor.rowBytes
    }

    /// Row `row` as `columns` floats.
    package func dequantizeRow(_ row: Int, into output: UnsafeMutablePointer<Float>) {
        if shape.count == 1, rowOrder != .identity {
            // A bias: plain numbers (checked in `init`), one at a time.
            let elementBytes = type.bytesPerBlock
            for index in 0..<columns {
                let element = base + rowOrder.sourceRow(index) * elementBytes
                dequantize(type, element, columns: 1, into: output + index)
            }
        } else {
            dequantize(type, source(row: row), columns: columns, into: output)
        }
    }

    /// Row `row` of a quantized tensor as codes and factors: see `affineRow`.
    package func affineRow(_ row: Int, into buffers: AffineRowBuffers) {
        MartletCheckpoints.affineRow(type, source(row: row), columns: columns, into: buffers)
    }

    /// All elements, in canonical order.
    package func dequantized() -> [Float] {
        [Float](unsafeUninitializedCapacity: rows * columns) { buffer, count in
            // A shape may have any number of empty rows.
            if let output = buffer.baseAddress, columns > 0 {
                for row in 0..<rows { dequantizeRow(row, into: output + row * columns) }
            }
            count = rows * columns
        }
    }

    /// Gives back the memory of the file's pages once rows have been repacked.
    package func releasePages(rows released: Range<Int>) {
        let range = released.clamped(to: 0..<rows)
        guard rowOrder == .identity else {
            // Rows lie elsewhere within their head: all or nothing.
            if range == 0..<rows { file.release(descriptor.byteRange) }
            return
        }
        let start = descriptor.byteRange.lowerBound
        file.release(start + range.lowerBound * descriptor.rowBytes..<start + range.upperBound * descriptor.rowBytes)
    }

    private var base: UnsafeRawPointer {
        // The range was checked against the file, and `bytes` is never empty.
        UnsafeRawPointer(file.bytes.baseAddress.unsafelyUnwrapped) + descriptor.byteRange.lowerBound
    }
}
