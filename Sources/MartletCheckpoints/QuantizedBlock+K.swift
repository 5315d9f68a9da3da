// K-quants: blocks of 256 weights, whose groups' scales are themselves quantized.

/// Scale; minimum; 6-bit scales and minima of 8 groups of 32; 128 bytes of nibbles. w = d · sc · code - dmin · m
///
/// Each run of 32 bytes holds one group in its low nibbles and the next group in its high nibbles.
enum Q4_K: QuantizedBlock {
    static var size: Int { 256 }
    static var bytes: Int { 144 }
    static var affine: AffineFormat {
        AffineFormat(bits: 4, groupSize: 32, isSymmetric: false, zeroPoint: 0, superGroupSize: 256)
    }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        decodeFactors(block, row)
        for pair in 0..<4 {
            for half in 0..<2 {
                let nibbles = load16(block + (16 + 32 * pair + 16 * half))
                store16(lowNibbles(nibbles), row.codes + (64 * pair + 16 * half))
                store16(highNibbles(nibbles), row.codes + (64 * pair + 32 + 16 * half))
            }
        }
    }

    /// The 16 first bytes of a Q4_K or Q5_K block: d, dmin, and 12 bytes of 6-bit numbers.
    ///
    /// Bytes 0-3 hold the scales of groups 0-3 in six bits, and bytes 4-7 their minima. Bytes 8-11 hold the low four bits
    /// of the scales (below) and minima (above) of groups 4-7, whose high two bits are the top bits of bytes 0-3 and 4-7.
    @inline(__always)
    static func decodeFactors(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        row.scales[0] = loadHalf(block)
        row.offsets[0] = -loadHalf(block + 2)
        let packed = block + 4
        for group in 0..<4 {
            let a = packed.load(fromByteOffset: group, as: UInt8.self)
            let b = packed.load(fromByteOffset: group + 4, as: UInt8.self)
            let c = packed.load(fromByteOffset: group + 8, as: UInt8.self)
            row.scaleFactors[group] = a & 0x3F
            row.offsetFactors[group] = b & 0x3F
            row.scaleFactors[group + 4] = (c & 0x0F) | ((a &>> 2) & 0x30)
            row.offsetFactors[group + 4] = (c &>> 4) | ((b &>> 2) & 0x30)
        }
    }
}

/// As Q4_K, with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to weight i of group g.
enum Q5_K: QuantizedBlock {
    static var size: Int { 256 }
    static var bytes: Int { 176 }
    static var affine: AffineFormat {
        AffineFormat(bits: 5, groupSize: 32, isSymmetric: false, zeroPoint: 0, superGroupSize: 256)
    }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        Q4_K.decodeFactors(block, row)
        for half in 0..<2 {
            var fifths = load16(block + (16 + 16 * half))
            for pair in 0..<4 {
                let nibbles = load16(block + (48 + 32 * pair + 16 * half))
                store16(lowNibbles(nibbles) | ((fifths & 1) &<< 4), row.codes + (64 * pair + 16 * half))
                store16(highNibbles(nibbles) | ((fifths & 2) &<< 3), row.codes + (64 * pair + 32 + 16 * half))
                fifths = fifths &>> 2
            }
        }
    }
}

/// 128 bytes of low nibbles; 64 bytes of high bit pairs; 16 signed scales; scale. w = d · sc · (code - 32), groups of 16
///
/// Each half of 128 weights uses 64 bytes of nibbles and 32 bytes of pairs: quarter q takes the low (q < 2) or high
/// nibbles of bytes 32 · (q mod 2) …, and bits 2q and 2q + 1 of the pairs.
enum Q6_K: QuantizedBlock {
    static var size: Int { 256 }
    static var bytes: Int { 210 }
    static var affine: AffineFormat {
        AffineFormat(bits: 6, groupSize: 16, isSymmetric: true, zeroPoint: 32, superGroupSize: 256)
    }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        for half in 0..<2 {
            for run in 0..<2 {
                let pairs = load16(block + (128 + 32 * half + 16 * run))
                let first = load16(block + (64 * half + 16 * run))
                let second = load16(block + (64 * half + 32 + 16 * run))
                let destination = row.codes + (128 * half + 16 * run)
                store16(lowNibbles(first) | ((pairs & 0x03) &<< 4), destination)
                store16(lowNibbles(second) | ((pairs & 0x0C) &<< 2), destination + 32)
                store16(highNibbles(first) | (pairs & 0x30), destination + 64)
                store16(highNibbles(second) | ((pairs & 0xC0) &>> 2), destination + 96)
            }
        }
        row.scales[0] = loadHalf(block + 208)
        UnsafeMutableRawPointer(row.scaleFactors).copyMemory(from: block + 192, byteCount: 16)
    }
}
