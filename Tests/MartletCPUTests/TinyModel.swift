import Foundation
import MartletGraph

/// A random matrix in memory, as floats or as 4-bit codes with a scale and an offset per 32 columns.
struct RandomWeight: WeightSource {
    let rows: Int
    let columns: Int
    let encoding: WeightEncoding
    let values: [Float]
    private let codes: [UInt8]
    private let scales: [Float]
    private let offsets: [Float]

    init(_ rows: Int, _ columns: Int, quantized: Bool, _ random: inout TinyRandom) {
        (self.rows, self.columns) = (rows, columns)
        guard quantized else {
            encoding = .f32
            (codes, scales, offsets) = ([], [], [])
            values = (0..<rows * columns).map { _ in random.unit() * 0.3 }
            return
        }
        encoding = .affine(AffineEncoding(bits: 4, groupSize: 32, zeroPoint: nil))
        let groups = columns / 32
        let codes = (0..<rows * columns).map { _ in UInt8(random.bits() % 16) }
        // Halves, so that packing rounds nothing away.
        let scales = (0..<rows * groups).map { _ in Float(Float16(random.unit() * 0.04)) }
        let offsets = (0..<rows * groups).map { _ in Float(Float16(random.unit() * 0.3)) }
        (self.codes, self.scales, self.offsets) = (codes, scales, offsets)
        values = (0..<rows * columns).map { index in
            let group = index / columns * groups + index % columns / 32
            return scales[group] * Float(codes[index]) + offsets[group]
        }
    }

    var byteCount: Int { values.count * 4 }

    func readRow(_ row: Int, into target: UnsafeMutablePointer<Float>) {
        for column in 0..<columns { target[column] = values[row * columns + column] }
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) {
        let groups = columns / 32
        for column in 0..<columns { buffers.codes[column] = codes[row * columns + column] }
        for group in 0..<groups {
            buffers.scales[group] = scales[row * groups + group]
            buffers.offsets[group] = offsets[row * groups + group]
        }
    }

    func release(rows: Range<Int>) {}
}

/// SplitMix64.
struct TinyRandom {
    var state: UInt64

    mutating func bits() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Uniform in -1 ..< 1.
    mutating func unit() -> Float { Float(Int64(bits() >> 40)) / Float(1 << 23) - 1 }
}

/// A one-layer Llama with random weights: its trace, and its forward function in double precision, written the slow and
/// obvious way.
struct TinyLlama {
    var hidden = 96
    var inner = 160
    var heads = 6
    var kvHeads = 2
    var headDim = 16
    var vocabulary = 50
    var window = 0
    var quantized = true
    /// Small: random queries and keys are large, and a sharp softmax would blow up every rounding difference.
    var scoreScale = 0.03125

    struct Parameters {
        var embed, q, k, v, o, gate, up, down, head: RandomWeight
        var norms: [[Float]]
        var bias: [Float]
    }

    func parameters() -> Parameters {
        var random = TinyRandom(state: 7)
        func weight(_ rows: Int, _ columns: Int) -> RandomWeight {
            RandomWeight(rows, columns, quantized: quantized, &random)
        }
        let (query, kv) = (heads * headDim, kvHeads * headDim)
        var parameters = Parameters(
            embed: weight(vocabulary, hidden), q: weight(query, hidden), k: weight(kv, hidden), v: weight(kv, hidden),
            o: weight(hidden, query), gate: weight(inner, hidden), up: weight(inner, hidden),
            down: weight(hidden, inner), head: weight(vocabulary, hidden), norms: [], bias: [])
        for _ in 0..<3 { parameters.norms.append((0..<hidden).map { _ in 1 + random.unit() * 0.5 }) }
        parameters.bias = (0..<kv).map { _ in random.unit() }
        return parameters
    }

    private var frequencies: [Float] { (0..<headDim / 2).map { Float(pow(100, -Double($0) / Double(headDim / 2))) } }

    func graph(_ p: Parameters) -> Graph {
        func linear(_ x: Tensor, _ source: RandomWeight) -> Tensor { x.linear(LinearWeight("w", source)) }
        func norm(_ x: Tensor, _ index: Int) -> Tensor {
            x.rmsNorm(RMSNormParameters(weight: Vector("n", p.norms[index]), epsilon: 1e-5))
        }
        let rotary = RotaryEmbedding(inverseFrequencies: frequencies)
        let tracer = Tracer()
        let h = tracer.embed(LinearWeight("embed", p.embed))
        let x = norm(h, 0)
        let v = linear(x, p.v).addBias(Vector("b", p.bias))
        let attended = Tensor.attention(
            q: linear(x, p.q).rope(rotary, headDim: headDim), k: linear(x, p.k).rope(rotary, headDim: headDim), v: v,
            AttentionParameters(
                kv: KVLayer(layer: 0, kvHeads: kvHeads, headDim: headDim), heads: heads, scale: Float(scoreScale),
                window: window))
        let sum = h + linear(attended, p.o)
        let y = norm(sum, 1)
        let out = sum + linear(linear(y, p.gate).silu() * linear(y, p.up), p.down)
        return tracer.finish(linear(norm(out, 2).sampledRows(), p.head))
    }

    /// Logits of every position, `[tokens.count][vocabulary]`.
    func reference(_ p: Parameters, _ tokens: [Int32]) -> [[Double]] {
        func multiply(_ x: [Double], _ w: RandomWeight) -> [Double] {
            (0..<w.rows).map { row in
                (0..<w.columns).reduce(0) { $0 + x[$1] * Double(w.values[row * w.columns + $1]) }
            }
        }
        func norm(_ x: [Double], _ index: Int) -> [Double] {
            let scale = 1 / sqrt(x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + 1e-5)
            return x.indices.map { x[$0] * scale * Double(p.norms[index][$0]) }
        }
        func rope(_ x: [Double], _ position: Int) -> [Double] {
            var result = x
            for head in stride(from: 0, to: x.count, by: headDim) {
                for pair in 0..<headDim / 2 {
                    let angle = Double(Float(position) * frequencies[pair])
                    let (a, b) = (x[head + pair], x[head + pair + headDim / 2])
                    result[head + pair] = a * cos(angle) - b * sin(angle)
                    result[head + pair + headDim / 2] = b * cos(angle) + a * sin(angle)
                }
            }
            return result
        }
        var keys: [[Double]] = []
        var values: [[Double]] = []
        return tokens.enumerated().map { position, token in
            let h = (0..<hidden).map { Double(p.embed.values[Int(token) * hidden + $0]) }
            let x = norm(h, 0)
            let q = rope(multiply(x, p.q), position)
            keys.append(rope(multiply(x, p.k), position))
            values.append(zip(multiply(x, p.v), p.bias).map { $0 + Double($1) })
            var attended = [Double](repeating: 0, count: heads * headDim)
            let first = window > 0 ? max(0, position - window + 1) : 0
            for head in 0..<heads {
                let kv = head / (heads / kvHeads) * headDim
                let scores = (first...position).map { context in
                    scoreScale * (0..<headDim).reduce(0) { $0 + q[head * headDim + $1] * keys[context][kv + $1] }
                }
                let largest = scores.max() ?? 0
                let weights = scores.map { exp($0 - largest) }
                let total = weights.reduce(0, +)
                for (index, weight) in weights.enumerated() {
                    for d in 0..<headDim {
                        attended[head * headDim + d] += weight / total * values[first + index][kv + d]
                    }
                }
            }
            let sum = zip(h, multiply(attended, p.o)).map { $0 + $1 }
            let y = norm(sum, 1)
            let product = zip(multiply(y, p.gate), multiply(y, p.up)).map { $0 / (1 + exp(-$0)) * $1 }
            let out = zip(sum, multiply(product, p.down)).map { $0 + $1 }
            return multiply(norm(out, 2), p.head)
        }
    }
}
