import CKernels
import Testing

@Suite struct AttentionCacheTests {
    static let headDims = [2, 6, 10, 16, 30, 64, 80, 128]

    /// Element (part, d) of a slot as its bits, by the layout in CKernels.h.
    private func element(
        _ page: UnsafeRawPointer, _ type: ck_kv_type, headDim: Int, slot: Int, value: Bool, d: Int
    ) -> UInt32 {
        let stride = (headDim + 15) / 16 * 16
        let depth = type == CK_KV_INT8 ? 4 : type == CK_KV_BF16 ? 2 : 1
        let keyDims = (headDim + depth - 1) / depth * depth
        let key = ((slot / 16 * (keyDims / depth) + d / depth) * 16 + slot % 16) * depth + d % depth
        let index = value ? (slot / depth * stride + d) * depth + slot % depth : key
        switch type {
        case CK_KV_INT8:
            let offset = value ? 64 * keyDims + 512 : 0
            return UInt32(page.load(fromByteOffset: offset + index, as: UInt8.self))
        case CK_KV_F32:
            return page.load(fromByteOffset: ((value ? 64 * keyDims : 0) + index) * 4, as: UInt32.self)
        default:
            return UInt32(page.load(fromByteOffset: ((value ? 64 * keyDims : 0) + index) * 2, as: UInt16.self))
        }
    }

    /// The scale of a slot's row, int8 only.
    private func scale(_ page: UnsafeRawPointer, headDim: Int, slot: Int, value: Bool) -> Float {
        page.load(fromByteOffset: 64 * ((headDim + 3) / 4 * 4) + (value ? 256 : 0) + slot * 4, as: Float.self)
    }

    /// What an element's bits mean.
    private func meaning(
        _ bits: UInt32, _ page: UnsafeRawPointer, _ type: ck_kv_type, headDim: Int, slot: Int, value: Bool
    ) -> Float {
        switch type {
        case CK_KV_F16: floatOfHalf(bits)
        case CK_KV_BF16: Float(bitPattern: bits << 16)
        case CK_KV_INT8:
            (value ? Float(Int8(truncatingIfNeeded: bits)) : Float(bits) - 128)
                * scale(page, headDim: headDim, slot: slot, value: value)
        default: Float(bitPattern: bits)
        }
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
                let untouched: UInt32 = type == CK_KV_INT8 ? 0xFF : type == CK_KV_F32 ? 0xFFFF_FFFF : 0xFFFF
                for other in 0..<64 {
                    for value in [false, true] {
                        let row = value ? cache.values[slot]! : cache.keys[slot]!
                        for d in 0..<(value ? shape.stride : headDim) {
                            let stored = element(page, type, headDim: headDim, slot: other, value: value, d: d)
                            guard other == slot else {
                                #expect(stored == untouched)
                                continue
                            }
                            let x = meaning(stored, page, type, headDim: headDim, slot: slot, value: value)
                            #expect(x == (d < headDim ? row[d] : 0))
                        }
                        if type == CK_KV_INT8, other != slot {
                            #expect(scale(page, headDim: headDim, slot: other, value: value).isNaN)
                        }
                    }
                }
            }
        }
    }

    /// Magnitudes at the ends of float's range, and rows that hold no number.
    @Test(arguments: attentionInstructionSets)
    func quantizesRows(_ instructionSet: String) {
        let rows: [[Float]] = [
            [0, 0, 0, 0], [1, -1, 0.5, 0.25], [1e-30, -1e-30, 0, 1e-32], [.leastNonzeroMagnitude, 0, 0, 0],
            [3e38, -3e38, 1, 0], [127, 0.5, 1.5, 2.5], [-127, -0.5, -1.5, 126.5],
        ]
        let cache = AttentionCache(instructionSet, CK_KV_INT8, AttentionShape(headDim: 4))
        let page = UnsafeRawPointer(cache.pages[0]!)
        for (slot, row) in rows.enumerated() {
            cache.store(row, row.reversed(), at: slot)
            for value in [false, true] {
                let (codes, scale) = quantizedRow(value ? row.reversed() : row)
                #expect(self.scale(page, headDim: 4, slot: slot, value: value) == scale)
                for d in 0..<4 {
                    let bits = element(page, CK_KV_INT8, headDim: 4, slot: slot, value: value, d: d)
                    #expect((value ? Int(Int8(truncatingIfNeeded: bits)) : Int(bits) - 128) == Int(codes[d]))
                }
            }
        }
        for bad in [Float.infinity, .nan] {
            cache.store([1, bad, 1, 1], [1, 1, 1, 1], at: 40)
            cache.store([1, 1, 1, 1], [1, 1, bad, 1], at: 41)
            for slot in [40, 41] {
                #expect(scale(page, headDim: 4, slot: slot, value: false).isNaN)
                #expect(scale(page, headDim: 4, slot: slot, value: true).isNaN)
            }
        }
    }

    @Test(arguments: attentionInstructionSets)
    func roundsToNearestBrainHalf(_ instructionSet: String) {
        let hard: [Float] = [
            0, -0.0, 1, 0x1.01p0, 0x1.03p0, 0x1.010002p0, 3.4e38, -3.4e38, .infinity, 0x1p-130, 0.1, -1 / 3, 257, 259,
        ]
        let cache = AttentionCache(instructionSet, CK_KV_BF16, AttentionShape(headDim: hard.count))
        cache.store(hard, hard, at: 20)
        let page = UnsafeRawPointer(cache.pages[0]!)
        for (d, x) in hard.enumerated() {
            for value in [false, true] {
                let half = element(page, CK_KV_BF16, headDim: hard.count, slot: 20, value: value, d: d)
                #expect(half << 16 == roundedToBrainHalf(x).bitPattern, "\(x)")
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
            cache.store(noise.next(count: headDim), noise.next(count: headDim), at: 21)
            let (first, second) = (cache.pages[0], cache.pages[1])
            ck_run_kv_copy(cache.kernels, type, first, 21, second, 48, Int64(headDim))  // to another page
            ck_run_kv_copy(cache.kernels, type, first, 21, first, 22, Int64(headDim))  // within a page
            let pages = cache.pages.map { UnsafeRawPointer($0!) }
            for (page, slot) in [(1, 48), (0, 22)] {
                for value in [false, true] {
                    if type == CK_KV_INT8 {
                        #expect(
                            scale(pages[page], headDim: headDim, slot: slot, value: value)
                                == scale(pages[0], headDim: headDim, slot: 21, value: value))
                    }
                    for d in 0..<(value ? shape.stride : headDim) {
                        #expect(
                            element(pages[page], type, headDim: headDim, slot: slot, value: value, d: d)
                                == element(pages[0], type, headDim: headDim, slot: 21, value: value, d: d))
                    }
                }
            }
            // Neighbours stay unwritten.
            #expect(element(pages[1], type, headDim: headDim, slot: 47, value: false, d: 0) & 0xFF == 0xFF)
            #expect(element(pages[1], type, headDim: headDim, slot: 49, value: true, d: 0) & 0xFF == 0xFF)
        }
    }
}
