import CKernels
import MartletGraph

/// A weight matrix repacked for the kernels: panels of 16 interleaved rows, in one layout per segment.
///
/// A matrix that a fusion joined from parts of different formats (a Q4_K query beside a Q6_K value projection) has a
/// segment for each; all segments read the same activation format.
final class PackedMatrix {
    struct Segment {
        var layout: ck_layout
        /// Panel 0.
        var panels: UnsafeMutableRawPointer
        var panelCount: Int
        /// Row of the matrix that is row 0 of the segment.
        var firstRow: Int
        var rows: Int
        /// Columns as the layout pads them.
        var columns: Int
    }

    let rows: Int
    let columns: Int
    let activation: ActivationFormat
    /// Trivial copies for the hot loop; as many as the matrix has layouts.
    let segments: UnsafeMutableBufferPointer<Segment>
    /// `[rows]`, or nil.
    let bias: UnsafeMutablePointer<Float>?

    /// - Parameter memory: where the panels go, `Self.byteCount(weight, …)` bytes on a 64-byte boundary.
    init(_ weight: LinearWeight, policy: LayoutPolicy, memory: UnsafeMutableRawPointer) throws(CPUBackendError) {
        rows = weight.rows
        columns = weight.columns
        activation = try policy.activationFormat(weight)
        var list: [Segment] = []
        var next = memory
        var firstRow = 0
        for (layout, rows) in try policy.segments(weight) {
            let panelCount = (rows + CK_PANEL - 1) / CK_PANEL
            list.append(
                Segment(
                    layout: layout, panels: next, panelCount: panelCount, firstRow: firstRow, rows: rows,
                    columns: Int(ck_padded_columns(layout, Int64(columns)))))
            next += panelCount * Int(ck_panel_bytes(layout, Int64(columns)))
            firstRow += rows
        }
        segments = .allocate(capacity: list.count)
        _ = segments.initialize(from: list)
        bias = weight.bias.map { values in
            let pointer = UnsafeMutablePointer<Float>.allocate(capacity: values.count)
            pointer.initialize(from: values, count: values.count)
            return pointer
        }
    }

    deinit {
        segments.deallocate()
        bias?.deallocate()
    }

    /// Writes one row as float32, `columns` values.
    func unpackRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        for segment in segments where row < segment.firstRow + segment.rows {
            ck_unpack_row(segment.layout, segment.panels, Int64(row - segment.firstRow), Int64(columns), values)
            return
        }
    }
}

/// Which layout a stored encoding is repacked to.
package struct LayoutPolicy: Sendable {
    /// Every weight becomes float32 and no activation is rounded (`--compute f32`): the arithmetic of the references.
    package var exactFloat32: Bool
    /// Inputs of integer kernels get 15 bits instead of 8.
    package var preciseActivations: Bool
    /// Inputs of layers of 8-bit floats are rounded to bf16, as those of BF16 layers are: where there is a kernel for it.
    var roundsFloat8Inputs = false

    package init(exactFloat32: Bool = false, preciseActivations: Bool = true) {
        self.exactFloat32 = exactFloat32
        self.preciseActivations = preciseActivations
    }

    func layout(_ source: any WeightSource, name: String) throws(CPUBackendError) -> ck_layout {
        if exactFloat32 { return CK_F32 }
        switch source.encoding {
        case .f32: return CK_F32
        case .f16: return CK_F16
        case .bf16: return CK_BF16
        case .f8: return CK_F8
        case .affine(let encoding) where encoding.hasZeroPoints && encoding.groupSize % 32 == 0:
            if encoding.bits <= 4 { return encoding.hasWideScales ? CK_Q4W : CK_Q4Z }
            return encoding.hasWideScales ? CK_Q8W : CK_Q8Z
        case .affine(let encoding):
            switch (encoding.bits, encoding.groupSize, encoding.zeroPoint, encoding.superGroupSize) {
            case (...4, let group, 8?, nil) where group % 32 == 0: return CK_Q4S
            case (...4, let group, _, nil) where group % 32 == 0: return CK_Q4A
            case (5...8, let group, .some, nil) where group % 32 == 0: return CK_Q8S
            case (5...8, let group, nil, nil) where group % 32 == 0: return CK_Q8A
            case (...4, 32, nil, 256?): return CK_Q4K
            case (5, 32, nil, 256?): return CK_Q5K
            case (6, 16, 32?, 256?): return CK_Q6K
            default:
                throw .unsupportedWeight(
                    name: name,
                    reason: "no kernel for \(encoding.bits)-bit codes in groups of \(encoding.groupSize)")
            }
        }
    }

    /// The segments of a matrix: neighbouring parts of one layout share a segment if no panel is left half full.
    func segments(_ weight: LinearWeight) throws(CPUBackendError) -> [(layout: ck_layout, rows: Int)] {
        let panel = CK_PANEL
        if weight.isInterleaved {
            let perPart = (weight.parts[0].rows + panel - 1) / panel * panel
            return [(try layout(weight.parts[0], name: weight.name), perPart * weight.parts.count)]
        }
        var result: [(layout: ck_layout, rows: Int)] = []
        for part in weight.parts {
            let layout = try layout(part, name: weight.name)
            if let last = result.last, last.layout == layout, last.rows % panel == 0 {
                result[result.count - 1].rows += part.rows
            } else {
                result.append((layout, part.rows))
            }
        }
        return result
    }

    func activationFormat(_ weight: LinearWeight) throws(CPUBackendError) -> ActivationFormat {
        var formats = Set<ActivationFormat>()
        for part in weight.parts {
            let layout = try layout(part, name: weight.name)
            switch ck_layout_activation(layout) {
            case CK_ACT_Q8: formats.insert(preciseActivations ? .q16 : .q8)
            case CK_ACT_BF16: formats.insert(.bf16)
            default: formats.insert(roundsFloat8Inputs && layout == CK_F8 ? .bf16 : .f32)
            }
        }
        guard let format = formats.first, formats.count == 1 else {
            throw .unsupportedWeight(name: weight.name, reason: "its parts need different activation formats")
        }
        return format
    }

    /// What an expert multiplies with gate and up is gathered once, and all experts' in one place.
    ///
    /// - Throws: `CPUBackendError` if that takes more than one format.
    func check(_ experts: Experts) throws(CPUBackendError) {
        for weights in [experts.gate + experts.up, experts.down] {
            let format = try activationFormat(weights[0])
            for weight in weights {
                guard try activationFormat(weight) == format else {
                    throw .unsupportedWeight(
                        name: weight.name, reason: "needs another activation format than \(weights[0].name)")
                }
            }
        }
    }

    func byteCount(_ weight: LinearWeight) throws(CPUBackendError) -> Int {
        let panel = CK_PANEL
        var bytes = 0
        for (layout, rows) in try segments(weight) {
            bytes += (rows + panel - 1) / panel * Int(ck_panel_bytes(layout, Int64(weight.columns)))
        }
        return bytes
    }
}
