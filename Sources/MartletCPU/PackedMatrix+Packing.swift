import CKernels
import MartletGraph

/// One worker's buffers while weights are repacked: the rows of a panel in the form that the packing functions take.
final class PackingScratch {
    let codes: UnsafeMutablePointer<UInt8>
    let scales: UnsafeMutablePointer<Float>
    let offsets: UnsafeMutablePointer<Float>
    let scaleFactors: UnsafeMutablePointer<UInt8>
    let offsetFactors: UnsafeMutablePointer<UInt8>
    let values: UnsafeMutablePointer<Float>

    /// - Parameter columns: of the widest matrix.
    init(columns: Int) {
        let count = columns * CK_PANEL
        codes = .allocate(capacity: count)
        scales = .allocate(capacity: count)
        offsets = .allocate(capacity: count)
        scaleFactors = .allocate(capacity: count)
        offsetFactors = .allocate(capacity: count)
        values = .allocate(capacity: count)
    }

    deinit {
        codes.deallocate()
        scales.deallocate()
        offsets.deallocate()
        scaleFactors.deallocate()
        offsetFactors.deallocate()
        values.deallocate()
    }
}

extension PackedMatrix {
    var panelCount: Int { segments.reduce(0) { $0 + $1.panelCount } }

    /// Repacks panel `panel` (counted over all segments). Different panels may be packed at the same time.
    func pack(panel: Int, of weight: LinearWeight, _ scratch: PackingScratch) {
        var local = panel
        for segment in segments {
            if local < segment.panelCount {
                pack(local, of: segment, weight, scratch)
                return
            }
            local -= segment.panelCount
        }
    }

    private func pack(_ panel: Int, of segment: Segment, _ weight: LinearWeight, _ scratch: PackingScratch) {
        let panelRows = CK_PANEL
        let destination = segment.panels + panel * Int(ck_panel_bytes(segment.layout, Int64(columns)))
        let isFloat = [CK_F32, CK_F16, CK_BF16].contains(segment.layout)
        var encoding: AffineEncoding?
        var rows = 0
        for lane in 0..<panelRows {
            guard let (source, row) = sourceRow(panel * panelRows + lane, of: segment, weight) else { break }
            if isFloat {
                source.readRow(row, into: scratch.values + lane * columns)
            } else if let affine = source.encoding.codes {
                encoding = affine
                let groups = lane * affine.groups(columns)
                let scales = lane * affine.scales(columns)
                source.readAffineRow(
                    row,
                    into: AffineRow(
                        codes: scratch.codes + lane * columns, scales: scratch.scales + scales,
                        offsets: scratch.offsets + scales, scaleFactors: scratch.scaleFactors + groups,
                        offsetFactors: scratch.offsetFactors + groups))
            }
            rows += 1
        }
        if let encoding {
            if segment.layout != CK_F8 { expandGroups(of: encoding, rows: rows, scratch) }
            var source = ck_affine_rows(
                codes: scratch.codes, scales: scratch.scales, offsets: scratch.offsets,
                scale_factors: scratch.scaleFactors, offset_factors: scratch.offsetFactors, rows: Int64(rows),
                columns: Int64(columns), zero_point: Int32(encoding.zeroPoint ?? 0))
            ck_pack_affine(segment.layout, &source, destination)
        } else {
            ck_pack_float(segment.layout, scratch.values, Int64(rows), Int64(columns), destination)
        }
    }

    /// Kernels know one group size per layout; a larger group's scale is repeated.
    private func expandGroups(of encoding: AffineEncoding, rows: Int, _ scratch: PackingScratch) {
        guard encoding.superGroupSize == nil, encoding.groupSize > CK_GROUP else { return }
        let groups = columns / encoding.groupSize
        let copies = encoding.groupSize / CK_GROUP
        for index in stride(from: rows * groups - 1, through: 0, by: -1) {
            let (scale, offset) = (scratch.scales[index], scratch.offsets[index])
            for copy in 0..<copies {
                scratch.scales[index * copies + copy] = scale
                scratch.offsets[index * copies + copy] = offset
            }
        }
    }

    /// The part and the row in it that stands at a row of a segment; nil for padding.
    private func sourceRow(_ row: Int, of segment: Segment, _ weight: LinearWeight) -> (any WeightSource, Int)? {
        let panelRows = CK_PANEL
        if weight.isInterleaved {
            let part = weight.parts[row / panelRows % 2]
            let partRow = row / (2 * panelRows) * panelRows + row % panelRows
            return partRow < part.rows ? (part, partRow) : nil
        }
        guard row < segment.rows else { return nil }
        var rest = segment.firstRow + row
        for part in weight.parts {
            if rest < part.rows { return (part, rest) }
            rest -= part.rows
        }
        return nil
    }
}

extension WeightEncoding {
    /// The codes that `readAffineRow` gives; nil for plain numbers.
    fileprivate var codes: AffineEncoding? {
        switch self {
        case .f32, .f16, .bf16: nil
        case .f8: AffineEncoding(bits: 8, groupSize: 128, zeroPoint: 0)
        case .affine(let encoding): encoding
        }
    }
}

extension AffineEncoding {
    fileprivate func groups(_ columns: Int) -> Int { (columns + groupSize - 1) / groupSize }

    /// Scales in floating point.
    fileprivate func scales(_ columns: Int) -> Int {
        superGroupSize.map { (columns + $0 - 1) / $0 } ?? groups(columns)
    }
}
