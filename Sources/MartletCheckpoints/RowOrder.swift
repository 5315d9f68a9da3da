/// Where a file keeps the rows of a tensor.
package enum RowOrder: Sendable, Equatable {
    case identity
    /// The rows of each attention head with rope's two halves interleaved, as llama.cpp's converter leaves the q and k
    /// projections of Llama: dimension j of the first half stands at row 2j, of the second half at row 2j + 1. `headDim` is
    /// even.
    case interleavedRope(heads: Int, headDim: Int)

    /// The row of the file that holds row `row` of the tensor in Hugging Face order.
    package func sourceRow(_ row: Int) -> Int {
        switch self {
        case .identity: return row
        case .interleavedRope(_, let headDim):
            let (head, dimension) = row.quotientAndRemainder(dividingBy: headDim)
            let (half, pair) = dimension.quotientAndRemainder(dividingBy: headDim / 2)
            return head * headDim + 2 * pair + half
        }
    }
}
