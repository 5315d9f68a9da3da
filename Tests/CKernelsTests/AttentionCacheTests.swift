import CKernels
import Testing

@Suite struct AttentionCacheTests {
    static let headDims = [2, 6, 10, 16, 30, 64, 80, 128]

    /// Element (part, d) of a slot as its bits, by the layout in CKernels.h.
    private func element(
        _ page: UnsafeRawPointer, _ type: ck_kv_type, headDim: Int, slot: Int, value: Bool, d: Int
    ) -> UInt32 {
        let stride = (headDim + 15) / 16 * 16
        let index = value ? 64 * headDim + slot * stride + d : (slot / 16 * headDim + d) * 16 + slot % 16
        return type == CK_KV_F16
            ? UInt32(page.load(fromByteOffset: index * 2, as: UInt16.self))
            : page.load(fromByteOffset: index * 4, as: UInt32.self)
    }

    private func floatOfHalf(_ bits: UInt32) -> Float {
        let exponent = Int(bits >> 10 & 31)
        let fraction = Float(bits & 1023)
        let magnitude: Float =
            exponent == 0
            ? fraction * 0x1p-24
            : exponent == 31
                ? (fraction == 0 ? .infinity : .nan)
                : Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
        return bits >> 15 & 1 == 1 ? -magnitude : magnitude
    }

    @Test(arguments: attentionInstructionSets, attentionTypes)
    func storesARowWhereTheLayoutSays(_ instructionSet: String, _ type: ck_kv_type) {
        for headDim in Self.headDims {
            let shape = AttentionShape(headDim: headDim)
            for slot in [0, 15, 16, 37, 63] {
                var noise = AttentionNoise(seed: 6)
                let cache = AttentionCache(instructionSet, type, shape)
                let page = UnsafeRawPointer(cache.pages[0]!)
                let (key, value) = (noise.next(count: headDim), noise.next(count: headDim))
                cache.store(key, value, at: slot)
                for other in 0..<64 {
                    for d in 0..<shape.stride {
                        let v = element(page, type, headDim: headDim, slot: other, value: true, d: d)
                        let untouched: UInt32 = type == CK_KV_F16 ? 0xFFFF : 0xFFFF_FFFF
                        if other == slot {
                            let expected = d < headDim ? cache.values[slot]![d] : 0
                            #expect((type == CK_KV_F16 ? floatOfHalf(v) : Float(bitPattern: v)) == expected)
                        } else {
                            #expect(v == untouched)
                        }
                        guard d < headDim else { continue }
                        let k = element(page, type, headDim: headDim, slot: other, value: false, d: d)
                        if other == slot {
                            #expect((type == CK_KV_F16 ? floatOfHalf(k) : Float(bitPattern: k)) == cache.keys[slot]![d])
                        } else {
                            #expect(k == untouched)
                        }
                    }
                }
            }
        }
    }

    @Test(arguments: attentionInstructionSets)
    func roundsToNearestHalf(_ instructionSet: String) {
        let hard: [Float] = [
            0, -0.0, 1, 0x1.002p0, 0x1.006p0, 0x1.002002p0, 65504, 65519.996, 65520, -1e30, .infinity, 0x1p-14,
            0x1.ffcp-15,
            0x1p-24, 0x1p-25, 0x1.000002p-25, 0x1.8p-24, -0x1.4p-23, 1e-30, .leastNonzeroMagnitude, 0.1, -1 / 3, 2049,
            2051,
        ]
        let cache = AttentionCache(instructionSet, CK_KV_F16, AttentionShape(headDim: hard.count))
        cache.store(hard, hard, at: 20)
        let page = UnsafeRawPointer(cache.pages[0]!)
        for (d, x) in hard.enumerated() {
            for value in [false, true] {
                let half = element(page, CK_KV_F16, headDim: hard.count, slot: 20, value: value, d: d)
                #expect(floatOfHalf(half).bitPattern == roundedToHalf(x).bitPattern, "\(x)")
            }
        }
        cache.store([Float](repeating: .nan, count: hard.count), hard, at: 20)
        let half = element(page, CK_KV_F16, headDim: hard.count, slot: 20, value: false, d: 3)
        #expect(floatOfHalf(half).isNaN)
    }

    @Test(arguments: attentionInstructionSets, attentionTypes)
    func copiesARow(_ instructionSet: String, _ type: ck_kv_type) {
        for headDim in Self.headDims {
            let shape = AttentionShape(headDim: headDim, pageCount: 2)
            var noise = AttentionNoise(seed: 7)
            let cache = AttentionCache(instructionSet, type, shape)
            let copy = type == CK_KV_F16 ? cache.kernels.pointee.kv_copy.0! : cache.kernels.pointee.kv_copy.1!
            cache.store(noise.next(count: headDim), noise.next(count: headDim), at: 21)
            copy(cache.pages[0], 21, cache.pages[1], 48, Int64(headDim))  // to another page
            copy(cache.pages[0], 21, cache.pages[0], 22, Int64(headDim))  // within a page
            let pages = cache.pages.map { UnsafeRawPointer($0!) }
            for (page, slot) in [(1, 48), (0, 22)] {
                for value in [false, true] {
                    for d in 0..<(value ? shape.stride : headDim) {
                        #expect(
                            element(pages[page], type, headDim: headDim, slot: slot, value: value, d: d)
                                == element(pages[0], type, headDim: headDim, slot: 21, value: value, d: d))
                    }
                }
            }
            // Neighbours stay unwritten.
            #expect(element(pages[1], type, headDim: headDim, slot: 47, value: false, d: 0) & 0xFFFF == 0xFFFF)
            #expect(element(pages[1], type, headDim: headDim, slot: 49, value: true, d: 0) & 0xFFFF == 0xFFFF)
        }
    }
}
