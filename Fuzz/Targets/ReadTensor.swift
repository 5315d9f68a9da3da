@testable import MartletCheckpoints

/// Reads every row of a tensor in every way.
func readTensor(_ tensor: StoredTensor) {
    let columns = tensor.columns
    guard columns > 0 else { return }
    // The output is as large as the file allows, up to eight times; the fuzzer's limit on input length bounds it.
    let row = UnsafeMutablePointer<Float>.allocate(capacity: columns)
    let codes = UnsafeMutablePointer<UInt8>.allocate(capacity: columns)
    let groups = columns / (tensor.type.affine?.groupSize ?? columns)
    let factors = UnsafeMutablePointer<Float>.allocate(capacity: 2 * groups)
    let integerFactors = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * groups)
    defer {
        row.deallocate()
        codes.deallocate()
        factors.deallocate()
        integerFactors.deallocate()
    }
    for index in 0..<tensor.rows {
        tensor.dequantizeRow(index, into: row)
        consume(Int(row[columns - 1].bitPattern))
        if let affine = tensor.type.affine {
            tensor.affineRow(
                index,
                into: AffineRowBuffers(
                    codes: codes, scales: factors, offsets: factors + groups, scaleFactors: integerFactors,
                    offsetFactors: integerFactors + groups))
            precondition((0..<columns).allSatisfy { Int(codes[$0]) < 1 << affine.bits })
        }
    }
}
