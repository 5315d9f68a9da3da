import CKernels
import Testing

@Suite struct LinearPackingTests {
    /// What is unpacked is what was packed: scale * code + offset in f32, with the factors rounded to f16.
    @Test(arguments: Layout.all) func rowsComeBack(_ layout: Layout) {
        let columnCounts =
            layout.isQuantized ? [layout.groupSize, 64, 96 + layout.groupSize, 576] : [1, 2, 31, 32, 33, 70, 576]
        for columns in columnCounts {
            for rows in [1, 15, 16, 17, 33] {
                let weights = Weights(layout, rows: rows, columns: columns)
                let packed = weights.packed()
                #expect(packed.isIntact)
                for row in 0..<rows {
                    var out = [Float](repeating: .nan, count: columns)
                    ck_unpack_row(layout.id, packed.base, Int64(row), Int64(columns), &out)
                    #expect(out == Array(weights.values[row * columns..<(row + 1) * columns]))
                }
            }
        }
    }

    /// A symmetric source may have its zero elsewhere than the layout: 4-bit codes in an 8-bit layout, for one.
    @Test func zeroPointsAreShifted() {
        let codes: [UInt8] = (0..<32).map { UInt8($0 % 16) }
        for (layout, zeroPoint) in [(CK_Q8S, 0), (CK_Q8S, 7), (CK_Q4S, 8)] {
            let panel = AlignedBytes(count: Int(ck_panel_bytes(layout, 32)))
            packAffine(layout, codes, scales: [0.25], rows: 1, zeroPoint: zeroPoint, to: panel.base)
            var out = [Float](repeating: .nan, count: 32)
            ck_unpack_row(layout, panel.base, 0, 32, &out)
            #expect(out == codes.map { 0.25 * Float(Int($0) - zeroPoint) })
        }
    }

    /// Sizes as the header states them.
    @Test func sizes() {
        let pairBytes: [(ck_layout, Int64)] = [
            (CK_Q4S, 576), (CK_Q4A, 640), (CK_Q4Z, 640), (CK_Q4W, 704), (CK_Q8S, 1088), (CK_Q8A, 1152),
            (CK_Q8Z, 1152), (CK_Q8W, 1216),
        ]
        let nestedPairBytes: [(ck_layout, Int64)] = [(CK_Q4K, 576), (CK_Q5K, 704), (CK_Q6K, 832)]
        for (layout, bytes) in nestedPairBytes {
            #expect(ck_panel_bytes(layout, 576) == 9 * bytes + 3 * 64)
            #expect(ck_panel_bytes(layout, 256) == 4 * bytes + 64)
            #expect(ck_layout_activation(layout) == CK_ACT_Q8)
        }
        for (layout, bytes) in pairBytes {
            #expect(ck_padded_columns(layout, 64) == 64)
            #expect(ck_padded_columns(layout, 65) == 128)
            #expect(ck_panel_bytes(layout, 576) == 9 * bytes)
            #expect(ck_panel_bytes(layout, 96) == 2 * bytes)
            #expect(ck_layout_activation(layout) == CK_ACT_Q8)
        }
        #expect(ck_panel_bytes(CK_BF16, 33) == 64 * 16 * 2)
        #expect(ck_panel_bytes(CK_F16, 33) == 33 * 16 * 2)
        #expect(ck_panel_bytes(CK_F32, 33) == 33 * 16 * 4)
        #expect(ck_panel_bytes(CK_F8, 129) == 2 * (64 + 128 * 16))
        #expect(ck_activation_bytes(CK_ACT_Q8, 64, 9) == 9 * 2 * 48)
        #expect(ck_activation_bytes(CK_ACT_Q16, 64, 9) == 9 * 2 * 80)
        #expect(ck_activation_bytes(CK_ACT_BF16, 64, 9) == 9 * 64 * 2)
        #expect(ck_activation_bytes(CK_ACT_F32, 64, 9) == 9 * 64 * 4)
    }

    /// Half-precision conversions against the standard library: every f16, and f32 values around every rounding tie.
    @Test func halfPrecisionConversions() {
        var values: [Float] = [
            0, -0.0, .infinity, -.infinity, 65504, 65519.996, 65520, 1e10, 0x1p-24, 0x1p-25, 0x1.8p-25,
        ]
        for pattern in stride(from: UInt16(0), to: 0x7c00, by: 7) {
            let half = Float(Float16(bitPattern: pattern))
            let next = Float(Float16(bitPattern: pattern + 1))
            let tie = half + (next - half) / 2
            values += [half, -half, tie, tie.nextUp, -tie.nextDown]
        }
        for layout in [CK_F16, CK_BF16] {
            let count = Int64(values.count)
            let panel = AlignedBytes(count: Int(ck_panel_bytes(layout, count)))
            ck_pack_float(layout, values, 1, count, panel.base)
            var out = [Float](repeating: 0, count: values.count)
            ck_unpack_row(layout, panel.base, 0, count, &out)
            let expected = values.map { layout == CK_F16 ? Float(Float16($0)) : bfloat16($0) }
            #expect(sameBits(out, expected))

            var notANumber = [Float](repeating: 0, count: 1)
            let tricky = Float(bitPattern: 0x7f80_0001)  // its payload lies below what either format keeps
            let one = AlignedBytes(count: Int(ck_panel_bytes(layout, 1)))
            ck_pack_float(layout, [tricky], 1, 1, one.base)
            ck_unpack_row(layout, one.base, 0, 1, &notANumber)
            #expect(notANumber[0].isNaN)
        }
    }

    @Test func tablesBelongToTheirNames() throws {
        for name in linearInstructionSets {
            #expect(String(cString: try linearKernels(name).name) == name)
            for layout in Layout.all where !layout.takesBF16 {
                #expect(linearKernel(of: try linearKernels(name), layout) != nil)
            }
            // Where it would be no faster there is none.
            if name != "avx512" { #expect(try linearKernels(name).linear_f8_bf16 == nil) }
        }
        #expect(ck_select(nil) == ck_select(linearInstructionSets[0]))
        #expect(ck_select("mmx") == nil)
        #expect(ck_select("portable") != nil)
    }
}
