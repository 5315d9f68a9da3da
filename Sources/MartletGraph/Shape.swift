/// The leading dimension of every intermediate: it is the only one that differs from step to step.
package enum RowSpace: Sendable, Hashable {
    /// All tokens of the step, of all requests, one after the other.
    case tokens
    /// The tokens whose logits are needed.
    case sampled
}

/// `[rows, width]`: a row per token; heads and their dimensions are consecutive columns.
package struct Shape: Sendable, Hashable {
    package var rows: RowSpace
    package var width: Int

    package init(_ rows: RowSpace, _ width: Int) {
        self.rows = rows
        self.width = width
    }
}

/// How a row of activations is stored.
package enum ActivationFormat: String, Sendable, Hashable {
    /// Row-major float32.
    case f32
    /// Groups of 32 int8 codes with a float scale, in tiles of 8 tokens: input of the fast integer kernels.
    case q8
    /// The same with 15-bit codes, kept as a high and a low int8: input of the accurate integer kernels.
    case q16
    /// bfloat16 in tiles of 8 tokens.
    case bf16

    /// Columns as stored: tiles are padded with zeros to whole kernel blocks.
    package func paddedColumns(_ columns: Int) -> Int {
        switch self {
        case .f32: columns
        case .q8, .q16: (columns + 63) / 64 * 64
        case .bf16: (columns + 31) / 32 * 32
        }
    }

    /// Bytes of one token's row.
    package func rowBytes(_ columns: Int) -> Int { bytes(before: paddedColumns(columns)) }

    /// Bytes of a token's first columns, which must be whole groups of 32 (`f32`: any).
    package func bytes(before column: Int) -> Int {
        switch self {
        case .f32: column * 4
        case .q8: column / 32 * 48
        case .q16: column / 32 * 80
        case .bf16: column * 2
        }
    }
}
