// Blocks of 32 weights. In the 4- and 5-bit ones, byte i of the nibbles holds weight i below and weight i + 16 above.

/// Scale; 16 bytes of nibbles. w = d · (code - 8)
enum Q4_0: QuantizedBlock {
    static var size: Int { 32 }
    static var bytes: Int { 18 }
    static var affine: AffineFormat { AffineFormat(bits: 4, groupSize: 32, isSymmetric: true, zeroPoint: 8) }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        let scale = loadHalf(block)
        let nibbles = load16(block + 2)
        store16(lowNibbles(nibbles), row.codes)
        store16(highNibbles(nibbles), row.codes + 16)
        row.scales[0] = scale
        row.offsets[0] = -8 * scale
    }
}

/// Scale; minimum; 16 bytes of nibbles. w = d · code + m
enum Q4_1: QuantizedBlock {
    static var size: Int { 32 }
    static var bytes: Int { 20 }
    static var affine: AffineFormat { AffineFormat(bits: 4, groupSize: 32, isSymmetric: false, zeroPoint: 0) }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        let nibbles = load16(block + 4)
        store16(lowNibbles(nibbles), row.codes)
        store16(highNibbles(nibbles), row.codes + 16)
        row.scales[0] = loadHalf(block)
        row.offsets[0] = loadHalf(block + 2)
    }
}

/// Scale; 32 fifth bits; 16 bytes of nibbles. w = d · (code - 16)
enum Q5_0: QuantizedBlock {
    static var size: Int { 32 }
    static var bytes: Int { 22 }
    static var affine: AffineFormat { AffineFormat(bits: 5, groupSize: 32, isSymmetric: true, zeroPoint: 16) }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        let scale = loadHalf(block)
        let nibbles = load16(block + 6)
        store16(lowNibbles(nibbles) | fifthBits(block + 2), row.codes)
        store16(highNibbles(nibbles) | fifthBits(block + 4), row.codes + 16)
        row.scales[0] = scale
        row.offsets[0] = -16 * scale
    }
}

/// Scale; minimum; 32 fifth bits; 16 bytes of nibbles. w = d · code + m
enum Q5_1: QuantizedBlock {
    static var size: Int { 32 }
    static var bytes: Int { 24 }
    static var affine: AffineFormat { AffineFormat(bits: 5, groupSize: 32, isSymmetric: false, zeroPoint: 0) }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        let nibbles = load16(block + 8)
        store16(lowNibbles(nibbles) | fifthBits(block + 4), row.codes)
        store16(highNibbles(nibbles) | fifthBits(block + 6), row.codes + 16)
        row.scales[0] = loadHalf(block)
        row.offsets[0] = loadHalf(block + 2)
    }
}

/// Scale; 32 signed bytes. w = d · byte; the code is the byte + 128.
enum Q8_0: QuantizedBlock {
    static var size: Int { 32 }
    static var bytes: Int { 34 }
    static var affine: AffineFormat { AffineFormat(bits: 8, groupSize: 32, isSymmetric: true, zeroPoint: 128) }

    @inline(__always)
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers) {
        let scale = loadHalf(block)
        // Adding 128 flips the top bit.
        store16(load16(block + 2) ^ 0x80, row.codes)
        store16(load16(block + 18) ^ 0x80, row.codes + 16)
        row.scales[0] = scale
        row.offsets[0] = -128 * scale
    }
}
