/// exp(x) for x ≤ 0, eight at a time: range reduction to 2^n · exp(r) with |r| ≤ ln(2)/2 and Cephes' polynomial.
///
/// The relative error is below 2e-7, and the same on every machine, which `expf` isn't. Below -87, where the result would
/// be no normal number, it is 0; it is never NaN for x ≤ 0, and exactly 1 for 0.
@inline(__always)
func fastExponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
    typealias Vector = SIMD8<Float>
    // Adding 1.5 · 2^23 rounds to an integer, and leaves it in the low bits.
    let rounder = Vector(repeating: 12_582_912)
    let underflows = x .< Vector(repeating: -87)
    let clamped = x.replacing(with: Vector(repeating: -87), where: underflows)
    let shifted = clamped * Vector(repeating: 1.442_695_04) + rounder
    let n = shifted - rounder
    // ln(2) in two parts: the first has few bits, so that n times it is exact.
    let r = (clamped - n * Vector(repeating: 0.693_359_375)) - n * Vector(repeating: -2.121_944_4e-4)
    var p = Vector(repeating: 1.987_569_15e-4)
    p = p * r + Vector(repeating: 1.398_199_95e-3)
    p = p * r + Vector(repeating: 8.333_451_9e-3)
    p = p * r + Vector(repeating: 4.166_579_6e-2)
    p = p * r + Vector(repeating: 1.666_666_55e-1)
    p = p * r + Vector(repeating: 0.5)
    p = p * (r * r) + r + Vector(repeating: 1)
    let exponent = unsafeBitCast(shifted, to: SIMD8<Int32>.self) &<< SIMD8<Int32>(repeating: 23)
    let scale = unsafeBitCast(exponent &+ SIMD8<Int32>(repeating: 0x3F80_0000), to: Vector.self)
    return (p * scale).replacing(with: 0, where: underflows)
}
