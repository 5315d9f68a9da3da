import MartletCheckpoints
import MartletGraph

/// A matrix of integer codes with a scale and a zero point per row and group of columns, however its file packs them:
/// weight = (code - zero point) · scale.
///
/// A backend gets the codes as they are, so that no weight changes; where a group's columns don't come in whole blocks of
/// 32, it gets the weights as float32.
struct IntegerWeight: WeightSource {
    enum ZeroPoints: Sendable {
        case constant(Int)
        /// Each `plus` more than what is stored, modulo the codes' range.
        case stored(PackedIntegers, plus: Int = 0)
    }

    let rows: Int
    let columns: Int
    let byteCount: Int
    let encoding: WeightEncoding
    /// How the input's columns have to be ordered.
    var inputOrder: ColumnOrder? { grouping.order }
    private let codes: PackedIntegers
    private let zeroPoints: ZeroPoints
    private let scales: ScaleTable
    private let grouping: ColumnGrouping
    /// What is added to codes of fewer than 4 bits, so that their zero point is that of 4 bits.
    private let codeShift: UInt8

    /// All shapes have been checked.
    init(
        rows: Int, columns: Int, codes: PackedIntegers, zeroPoints: ZeroPoints, scales: ScaleTable,
        grouping: ColumnGrouping
    ) {
        self.rows = rows
        self.columns = columns
        self.codes = codes
        self.zeroPoints = Self.simplified(
            zeroPoints, bits: codes.bits, rows: rows, groups: Int(grouping.groups.max() ?? 0) + 1)
        self.scales = scales
        self.grouping = grouping
        byteCount = codes.tensor.descriptor.byteRange.count + scales.tensor.descriptor.byteRange.count
        var encoding = AffineEncoding(bits: codes.bits, groupSize: 32, zeroPoint: nil)
        if case .constant(let zero) = self.zeroPoints, zero == 1 << (codes.bits - 1), scales.fitsF16 {
            encoding.zeroPoint = codes.bits <= 4 ? 8 : 128
            codeShift = codes.bits < 4 ? UInt8(8 - zero) : 0
        } else {
            encoding.hasZeroPoints = true
            encoding.hasWideScales = !scales.fitsF16
            codeShift = 0
        }
        self.encoding = grouping.isAligned ? .affine(encoding) : .f32
    }

    /// A constant where all stored zero points are equal.
    private static func simplified(_ zeroPoints: ZeroPoints, bits: Int, rows: Int, groups: Int) -> ZeroPoints {
        guard case .stored = zeroPoints else { return zeroPoints }
        let first = value(of: zeroPoints, bits: bits, row: 0, group: 0)
        for row in 0..<rows {
            for group in 0..<groups where value(of: zeroPoints, bits: bits, row: row, group: group) != first {
                return zeroPoints
            }
        }
        return .constant(first)
    }

    @inline(__always)
    private static func value(of zeroPoints: ZeroPoints, bits: Int, row: Int, group: Int) -> Int {
        switch zeroPoints {
        case .constant(let zero): zero
        case .stored(let integers, let plus): (integers[row, group] + plus) & (1 << bits - 1)
        }
    }

    private func zeroPoint(row: Int, group: Int) -> Int {
        Self.value(of: zeroPoints, bits: codes.bits, row: row, group: group)
    }

    /// The row's codes, in `inputOrder`.
    private func readCodes(_ row: Int, into buffer: UnsafeMutablePointer<UInt8>) {
        guard let order = grouping.order else {
            codes.read(output: row, count: columns, into: buffer)
            return
        }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: columns) { stored in
            guard let base = stored.baseAddress else { return }
            codes.read(output: row, count: columns, into: base)
            for (column, index) in order.indices.enumerated() { buffer[column] = base[Int(index)] }
        }
    }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: columns) { buffer in
            guard let codes = buffer.baseAddress else { return }
            readCodes(row, into: codes)
            var group = -1
            var (scale, zero): (Float, Int) = (0, 0)
            for column in 0..<columns {
                if grouping.groups[column] != group {
                    group = Int(grouping.groups[column])
                    (scale, zero) = (scales[row, group], zeroPoint(row: row, group: group))
                }
                values[column] = Float(Int(codes[column]) - zero) * scale
            }
        }
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) {
        readCodes(row, into: buffers.codes)
        if codeShift > 0 {
            for column in 0..<columns { buffers.codes[column] += codeShift }
        }
        var group = -1
        var (scale, offset): (Float, Float) = (0, 0)
        for (block, column) in stride(from: 0, to: columns, by: 32).enumerated() {
            if grouping.groups[column] != group {
                group = Int(grouping.groups[column])
                (scale, offset) = (scales[row, group], -Float(zeroPoint(row: row, group: group)))
            }
            (buffers.scales[block], buffers.offsets[block]) = (scale, offset)
        }
    }

    func release(rows released: Range<Int>) {
        // Rows of other packings lie all over the file.
        if released.lowerBound <= 0, released.upperBound >= rows {
            codes.tensor.releasePages(rows: 0..<codes.tensor.rows)
        }
    }
}
