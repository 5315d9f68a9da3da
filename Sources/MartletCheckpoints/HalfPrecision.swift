/// The IEEE binary16 number at `source`, exactly. Integer arithmetic and no branch, so that a loop of it vectorizes; no
/// operation sees a subnormal float, so that it is also right where the processor flushes those to zero.
@inline(__always)
package func loadHalf(_ source: UnsafeRawPointer) -> Float {
    let half = UInt32(UInt16(littleEndian: source.loadUnaligned(as: UInt16.self)))
    let sign = (half & 0x8000) << 16
    let magnitude = half & 0x7FFF
    // Normal: move the fields to their places in a float with an exponent 224 too high instead of 112, so that the
    // exponent of infinity and NaN (31) also ends at the top (255); then scale back.
    let normal = Float(bitPattern: (magnitude << 13) &+ (224 << 23)) * Float(bitPattern: (127 - 112) << 23)
    // Subnormal: the fraction as the low bits of 0.5, whose unit in the last place is 2⁻²⁴, as the half's is.
    let subnormal = Float(bitPattern: (126 << 23) | magnitude) - 0.5
    return Float(bitPattern: sign | (magnitude < 0x0400 ? subnormal : normal).bitPattern)
}
