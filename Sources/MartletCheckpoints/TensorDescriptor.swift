/// A tensor as a checkpoint file lists it. Every number has been checked against the file.
package struct TensorDescriptor: Sendable, Equatable {
    package let name: String
    /// Outermost dimension first, as Hugging Face and NumPy write it: a linear layer is [outputs, inputs].
    package let shape: [Int]
    package let type: TensorType
    /// Where the elements lie in the file.
    package let byteRange: Range<Int>

    package init(name: String, shape: [Int], type: TensorType, byteRange: Range<Int>) {
        self.name = name
        self.shape = shape
        self.type = type
        self.byteRange = byteRange
    }

    /// Elements of the innermost dimension, which lie side by side.
    package var columns: Int { shape.last ?? 1 }
    /// The product of the other dimensions: 1 for a vector.
    package var rows: Int { shape.dropLast().reduce(1, *) }
    package var rowBytes: Int { type.rowBytes(columns: columns) }
}
