import MartletCheckpoints

/// Small unsigned integers, several to a 32-bit word of a tensor: codes or zero points of a quantized layer, seen as a matrix
/// whose rows are the layer's outputs and whose columns are its inputs (or groups of them).
struct PackedIntegers: Sendable {
    /// How the matrix lies in the tensor. Integers that share words follow each other from the lowest bit on; where their
    /// size does not divide 32, they straddle words.
    enum Packing: Sendable {
        /// `[inputs · bits / 32, outputs]`: GPTQ's codes.
        case downInputs
        /// `[inputs, outputs · bits / 32]`: GPTQ's zero points.
        case acrossOutputs
        /// The same with the outputs of a word in the order 0, 2, 4, 6, 1, 3, 5, 7: AWQ.
        case interleavedOutputs
        /// `[outputs, inputs · bits / 32]`: the codes of compressed-tensors.
        case acrossInputs
        /// `[outputs · bits / 32, inputs]`: the zero points of compressed-tensors.
        case downOutputs
        /// Signed bytes `[outputs, inputs]`, which are read as 128 more.
        case bytes
    }

    let packing: Packing
    let bits: Int
    /// Added to each word. (Of GPTQ's first format, where it undoes a subtraction that carried from one integer to the
    /// next.)
    var increment: UInt32 = 0
    let tensor: StoredTensor

    /// The integer of an output and an input.
    @inline(__always)
    subscript(output: Int, input: Int) -> Int {
        let stride = tensor.columns
        switch packing {
        case .downInputs: return integer(first: output, stride: stride, bit: input * bits)
        case .acrossOutputs: return integer(first: input * stride, stride: 1, bit: output * bits)
        case .interleavedOutputs:
            let place = output / 8 * 8 + Self.interleavedPlaces[output % 8]
            return integer(first: input * stride, stride: 1, bit: place * bits)
        case .acrossInputs: return integer(first: output * stride, stride: 1, bit: input * bits)
        case .downOutputs: return integer(first: input, stride: stride, bit: output * bits)
        case .bytes: return Int(base.load(fromByteOffset: output * stride + input, as: UInt8.self) ^ 0x80)
        }
    }

    /// The integers of an output, `count` of them.
    func read(output: Int, count: Int, into integers: UnsafeMutablePointer<UInt8>) {
        let stride = tensor.columns
        switch packing {
        case .downInputs where 32 % bits == 0: read(first: output, stride: stride, count: count, into: integers)
        case .acrossInputs where 32 % bits == 0:
            read(first: output * stride, stride: 1, count: count, into: integers)
        case .interleavedOutputs:
            let column = output / 8
            let shift = UInt32(Self.interleavedPlaces[output % 8] * bits)
            for input in 0..<count {
                integers[input] = UInt8(truncatingIfNeeded: word(input * stride + column) >> shift) & mask
            }
        default:
            for input in 0..<count { integers[input] = UInt8(truncatingIfNeeded: self[output, input]) }
        }
    }

    /// Integers of consecutive words.
    private func read(first: Int, stride: Int, count: Int, into integers: UnsafeMutablePointer<UInt8>) {
        let perWord = 32 / bits
        var index = first
        for start in Swift.stride(from: 0, to: count, by: perWord) {
            var word = word(index)
            for position in start..<min(start + perWord, count) {
                integers[position] = UInt8(truncatingIfNeeded: word) & mask
                word >>= UInt32(bits)
            }
            index += stride
        }
    }

    /// The integer at a bit of words that start at `first` and are `stride` apart.
    @inline(__always)
    private func integer(first: Int, stride: Int, bit: Int) -> Int {
        let index = first + bit / 32 * stride
        let shift = bit % 32
        var window = UInt64(word(index))
        if shift + bits > 32 { window |= UInt64(word(index + stride)) << 32 }
        return Int(UInt8(truncatingIfNeeded: window >> UInt64(shift)) & mask)
    }

    @inline(__always)
    private func word(_ index: Int) -> UInt32 {
        UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)) &+ increment
    }

    private var mask: UInt8 { UInt8(truncatingIfNeeded: (1 << bits) - 1) }
    private var base: UnsafeRawPointer { tensor.source(row: 0) }

    /// Where the eight outputs of a word of AWQ's lie in it.
    private static let interleavedPlaces = [0, 4, 1, 5, 2, 6, 3, 7]
}
