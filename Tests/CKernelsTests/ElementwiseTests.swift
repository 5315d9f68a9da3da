import CKernels
import Foundation
import Testing

@Suite struct ElementwiseTests {
    static let counts = [1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 65, 100, 128, 130]

    typealias Unary = (UnsafePointer<Float>?, Int64, UnsafeMutablePointer<Float>?) -> Void
    typealias Binary = (UnsafePointer<Float>?, UnsafePointer<Float>?, Int64, UnsafeMutablePointer<Float>?) -> Void

    /// `operation` on the first `count` elements; checks that it writes no others.
    private func apply(_ operation: Binary, _ a: [Float], _ b: [Float], count: Int, at start: Int = 0) -> [Float] {
        var out = [Float](repeating: 12345, count: a.count + 16)
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                operation(a.baseAddress! + start, b.baseAddress! + start, Int64(count), &out)
            }
        }
        #expect(out[count...].allSatisfy { $0 == 12345 })
        return Array(out[..<count])
    }

    @Test(arguments: attentionInstructionSets)
    func sumAndProductAreExactlyRounded(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!.pointee
        var noise = AttentionNoise(seed: 1)
        let (a, b) = (noise.next(count: 130), noise.next(count: 130))
        for count in Self.counts {
            #expect(apply(kernels.add, a, b, count: count) == zip(a, b).prefix(count).map { $0 + $1 })
            #expect(apply(kernels.multiply, a, b, count: count) == zip(a, b).prefix(count).map { $0 * $1 })
        }
        var inPlace = a
        inPlace.withUnsafeMutableBufferPointer { kernels.add($0.baseAddress, b, 130, $0.baseAddress) }
        #expect(inPlace == zip(a, b).map { $0 + $1 })
    }

    @Test(arguments: attentionInstructionSets)
    func siluIsAccurateEverywhere(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!.pointee
        let inputs =
            (0...4000).map { Float($0 - 2000) * 0.05 } + [1e-8, -1e-8, 1e-30, -87.3, -88.5, 88.7, 89, 1e10, 3e38]
        var out = inputs
        kernels.silu(inputs, Int64(inputs.count), &out)
        for (x, y) in zip(inputs, out) {
            let exact = Double(x) / (1 + exponential(-Double(x)))
            // The exponential is within a unit in the last place (2^-23 at worst); the sum and the quotient round once
            // each. From -88.72 on e^-x overflows and the result is 0, where the exact one is below 89 / 2^128; a little
            // above that results are subnormal.
            let tolerance = abs(exact) * 0x1p-21 + (x < -87 ? 89 * 0x1p-128 : 0)
            #expect(abs(Double(y) - exact) <= tolerance, "silu(\(x)) = \(y), not \(exact)")
        }
        let special: [Float] = [.infinity, .nan, -3e38, 0, -0.0]
        var results = special
        kernels.silu(special, 5, &results)
        #expect(results[0] == .infinity && results[1].isNaN && results[2] == 0)
        #expect(results[3].bitPattern == 0 && results[4].bitPattern == Float(-0.0).bitPattern)
    }

    /// The nearest of all numbers that e4m3 has, ties to even codes, times the scale: on every instruction set.
    @Test(arguments: attentionInstructionSets)
    func nearestFloat8(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!.pointee
        // Positive codes in order: subnormals are multiples of 2^-9; the largest is 448.
        let numbers = (0...126).map { code in
            let (exponent, fraction) = (code >> 3, Float(code & 7))
            return exponent == 0
                ? fraction * 0x1p-9 : (1 + fraction / 8) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
        }
        func nearest(_ value: Float) -> Float {
            let magnitude = value.magnitude
            let best = numbers.indices.min {
                let (a, b) = ((numbers[$0] - magnitude).magnitude, (numbers[$1] - magnitude).magnitude)
                return a == b ? $0 % 2 < $1 % 2 : a < b
            }!
            return value.sign == .minus ? -numbers[best] : numbers[best]
        }
        var noise = AttentionNoise(seed: 6)
        // With a largest value of 448 the scale is 1, and codes, their midpoints and what lies around them meet it.
        let midpoints = zip(numbers, numbers.dropFirst()).map { ($0 + $1) / 2 }
        let exact = [448] + numbers + midpoints.flatMap { [$0, -$0, $0.nextUp, $0.nextDown] } + [-0.0, 1e-30]
        for row in [exact] + Self.counts.map({ noise.next(count: $0).map { $0 * 3 } }) {
            let scale = row.map(\.magnitude).max()! / 448
            let expected = row.map { nearest($0 / scale) * scale }
            var out = row
            out.withUnsafeMutableBufferPointer { kernels.round_to_f8($0.baseAddress, Int64(row.count), $0.baseAddress) }
            #expect(out == expected, "\(row.count) columns")  // zeros lose their sign
        }
        for special in [[Float](repeating: 0, count: 70), [1, .infinity, 2], [1, .nan, 2]] {
            var out = special
            kernels.round_to_f8(special, Int64(special.count), &out)
            #expect(special[1] == 0 ? out == special : !out[1].isFinite && (out[0].isNaN || out[0] == 0))
        }
    }

    @Test(arguments: attentionInstructionSets)
    func geluIsAccurateEverywhere(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!
        let inputs =
            (0...4000).map { Float($0 - 2000) * 0.01 } + [1e-8, -1e-8, 1e-30, -90, 90, 1e5, -1e5, 1e10, -1e10]
        let definitions: [(ck_gelu, (Double) -> Double)] = [
            // erfc keeps the digits that 1 + erf loses where x is far below zero.
            (CK_GELU_ERF, { $0 * erfc(-$0 / 2.0.squareRoot()) / 2 }),
            (CK_GELU_TANH, { $0 / (1 + exp(-2 * (2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }),
            (CK_GELU_QUICK, { $0 / (1 + exp(-1.702 * $0)) }),
        ]
        for (kind, definition) in definitions {
            var out = inputs
            ck_run_gelu(kernels, kind, inputs, Int64(inputs.count), &out)
            for (x, y) in zip(inputs, out) {
                let exact = definition(Double(x))
                // The exponent's argument is rounded, so e^x is off by some units times it; erf is within 2e-7 of 1.
                let tolerance = abs(exact) * 0x1p-18 + 2e-7 * min(abs(Double(x)), 6)
                #expect(abs(Double(y) - exact) <= tolerance, "\(kind): \(x) gives \(y), not \(exact)")
            }
            // An element alone has the bits that it has in a row.
            for index in stride(from: 0, to: inputs.count, by: 97) {
                var alone: Float = 0
                ck_run_gelu(kernels, kind, [inputs[index]], 1, &alone)
                #expect(alone.bitPattern == out[index].bitPattern)
            }
            var results: [Float] = [0, 0, 0]
            ck_run_gelu(kernels, kind, [.nan, .infinity, 0], 3, &results)
            #expect(results[0].isNaN && results[1] == .infinity && results[2] == 0)
        }
    }

    @Test(arguments: attentionInstructionSets)
    func layerNormMatchesDoublePrecision(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!.pointee
        var noise = AttentionNoise(seed: 5)
        // Far from zero: what a one-pass variance would lose its digits on.
        let x = noise.next(count: 4100).map { $0 + 100 }
        let (weight, bias) = (noise.next(count: 4100), noise.next(count: 4100))
        for columns in Self.counts + [1000, 4096, 4099] {
            let out = apply(
                { x, weight, count, out in kernels.layer_norm(x, weight, bias, 1e-5, count, out) }, x, weight,
                count: columns)
            let mean = x[..<columns].reduce(0) { $0 + Double($1) } / Double(columns)
            let variance = x[..<columns].reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(columns)
            for (index, y) in out.enumerated() {
                let exact =
                    (Double(x[index]) - mean) / (variance + 1e-5).squareRoot() * Double(weight[index])
                    + Double(bias[index])
                // The mean of numbers around 100 is rounded to 2^-18; divided by the deviation, or by 1/300 where there
                // is one number only.
                let tolerance = 8 * 0x1p-18 / (variance + 1e-5).squareRoot() * abs(Double(weight[index])) + 1e-6
                #expect(abs(Double(y) - exact) <= tolerance)
            }
            var inPlace = x
            inPlace.withUnsafeMutableBufferPointer {
                kernels.layer_norm($0.baseAddress, weight, bias, 1e-5, Int64(columns), $0.baseAddress)
            }
            #expect(bits(Array(inPlace[..<columns])) == bits(out))
        }
    }

    @Test(arguments: attentionInstructionSets)
    func siluMultiplyIsSiluThenMultiply(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!.pointee
        var noise = AttentionNoise(seed: 2)
        let gate = noise.next(count: 200).map { $0 * 20 }
        let up = noise.next(count: 200)
        for count in Self.counts {
            for start in [0, 1, 5] {
                let part = Array(gate[start..<start + count])
                var activated = part
                kernels.silu(part, Int64(count), &activated)
                let product = apply(kernels.multiply, activated, Array(up[start..<start + count]), count: count)
                #expect(bits(apply(kernels.silu_multiply, gate, up, count: count, at: start)) == bits(product))
                // An element alone has the bits that it has in a row.
                let last = start + count - 1
                #expect(bits(apply(kernels.silu_multiply, gate, up, count: 1, at: last)) == bits([product[count - 1]]))
            }
        }
    }

    @Test(arguments: attentionInstructionSets)
    func rmsNormMatchesDoublePrecision(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!.pointee
        var noise = AttentionNoise(seed: 3)
        let x = noise.next(count: 4100)
        let weight = noise.next(count: 4100).map { $0 + 1.5 }
        for columns in Self.counts + [1000, 4096, 4099] {
            let out = apply(
                { x, weight, count, out in kernels.rms_norm(x, weight, 1e-6, count, out) }, x, weight, count: columns)
            let mean = x[..<columns].reduce(0) { $0 + Double($1) * Double($1) } / Double(columns)
            let inverse = 1 / (mean + 1e-6).squareRoot()
            for (index, y) in out.enumerated() {
                let exact = Double(x[index]) * inverse * Double(weight[index])
                // Chains of columns / 64 (avx512) to columns / 16 (portable) roundings of a sum of positive terms, halved
                // by the root; they are random in sign, so 16 half-units are far more than 4099 columns leave.
                #expect(abs(Double(y) - exact) <= abs(exact) * 16 * 0x1p-24)
            }
            var inPlace = x
            inPlace.withUnsafeMutableBufferPointer {
                kernels.rms_norm($0.baseAddress, weight, 1e-6, Int64(columns), $0.baseAddress)
            }
            #expect(bits(Array(inPlace[..<columns])) == bits(out))
            #expect(bits(Array(inPlace[columns...])) == bits(Array(x[columns...])))
            // Alignment doesn't matter.
            let shifted = apply(
                { x, weight, count, out in kernels.rms_norm(x, weight, 1e-6, count, out) }, [0] + x, [0] + weight,
                count: columns, at: 1)
            #expect(bits(shifted) == bits(out))
        }
        let zeros = [Float](repeating: 0, count: 40)
        #expect(apply({ kernels.rms_norm($0, $1, 1e-6, $2, $3) }, zeros, weight, count: 40) == zeros)
    }

    @Test(arguments: attentionInstructionSets)
    func ropeRotatesPairs(_ instructionSet: String) {
        let kernels = ck_select(instructionSet)!.pointee
        var noise = AttentionNoise(seed: 4)
        for (headDim, rotary) in [(2, 2), (6, 6), (10, 4), (64, 64), (80, 32), (96, 96), (128, 128), (128, 66)] {
            let heads = noise.next(count: 3 * headDim)
            let (cosines, sines) = (noise.next(count: rotary / 2), noise.next(count: rotary / 2))
            var out = heads
            kernels.rope(&out, 3, Int64(headDim), Int64(rotary), cosines, sines)
            for head in 0..<3 {
                let base = head * headDim
                for i in 0..<rotary / 2 {
                    let (x, y) = (Double(heads[base + i]), Double(heads[base + i + rotary / 2]))
                    let (c, s) = (Double(cosines[i]), Double(sines[i]))
                    // Two products and a sum of magnitudes up to 2: three roundings at most.
                    #expect(abs(Double(out[base + i]) - (x * c - y * s)) <= 4 * 0x1p-24)
                    #expect(abs(Double(out[base + i + rotary / 2]) - (y * c + x * s)) <= 4 * 0x1p-24)
                }
                #expect(out[base + rotary..<base + headDim] == heads[base + rotary..<base + headDim])
                // A head alone has the same bits.
                var alone = Array(heads[base..<base + headDim])
                kernels.rope(&alone, 1, Int64(headDim), Int64(rotary), cosines, sines)
                #expect(bits(alone) == bits(Array(out[base..<base + headDim])))
            }
        }
    }
}
