import MartletCPU
import Testing

@testable import MartletQuantization

/// What the methods promise: less error at a layer's output than rounding to nearest.
@Suite struct MethodTests {
    private let workers: MatrixProduct
    /// Inputs with outlier channels and correlations between neighbours.
    private let inputs: Matrix
    private let statistics: InputStatistics
    private let weight: Matrix

    init() throws {
        workers = try MatrixProduct(threads: 2)
        var random = SplitMix(state: 21)
        inputs = Matrix(rows: 512, columns: 128)
        for row in 0..<512 {
            var last: Float = 0
            for column in 0..<128 {
                last = 0.7 * last + random.normal()
                inputs.row(row)[column] = last * (column % 16 == 5 ? 12 : 1)
            }
        }
        weight = Matrix(rows: 96, columns: 128)
        for index in 0..<96 * 128 { weight.base[index] = 0.1 * random.normal() }
        statistics = InputStatistics(width: 128)
        statistics.add(inputs.strided, on: workers)
        try statistics.finish("test", on: workers)
    }

    private func settings(_ method: QuantizationSettings.Method, group: Int = 32) throws -> QuantizationSettings {
        try QuantizationSettings(method, groupSize: group)
    }

    private func grid(symmetric: Bool) -> QuantizationGrid {
        QuantizationGrid(bits: 4, isSymmetric: symmetric, scaleStorage: .f16, smallestZero: symmetric ? 1 : 0)
    }

    /// Mean squared error of the outputs, computed from the inputs themselves.
    private func outputError(_ rounded: Matrix, inputFactors: [Float]? = nil) -> Double {
        var sum = 0.0
        for token in 0..<inputs.rows {
            for row in 0..<weight.rows {
                var difference: Float = 0
                for column in 0..<128 {
                    let factor = inputFactors?[column] ?? 1
                    let change = rounded.row(row)[column] / factor - weight.row(row)[column]
                    difference += change * inputs.row(token)[column]
                }
                sum += Double(difference * difference)
            }
        }
        return sum / Double(inputs.rows * weight.rows)
    }

    @Test(arguments: [(false, 32), (true, 32), (false, 128), (true, -1)])
    func gptqBeatsRounding(_ actOrder: Bool, _ group: Int) throws {
        var settings = try settings(.gptq, group: group)
        settings.actOrder = actOrder
        let gptq = GPTQ(settings: settings, grid: grid(symmetric: true), workers: workers)
        let factor = try gptq.factor(of: statistics, name: "test")
        let rounded = try gptq.quantize(weight, factor, name: "test")
        let nearest = QuantizedMatrix.rounded(
            weight, groupSize: settings.groupSize, grid: grid(symmetric: true), on: workers)
        #expect(outputError(rounded.dequantized()) < 0.5 * outputError(nearest.dequantized()))
        if actOrder { #expect(factor.order.first.map { $0 % 16 } == 5) }
    }

    /// U is what the definition says: H⁻¹ = Uᵀ U, so U H Uᵀ is the identity.
    @Test func gptqFactor() throws {
        var settings = try settings(.gptq)
        settings.damping = 0
        let gptq = GPTQ(settings: settings, grid: grid(symmetric: true), workers: workers)
        let u = try gptq.factor(of: statistics, name: "test").inverse
        let left = Matrix(rows: 128, columns: 128)
        workers.add(u.strided, statistics.gram.strided, to: left.strided)
        let identity = Matrix(rows: 128, columns: 128)
        workers.add(left.strided, u.strided.transposed, to: identity.strided)
        for row in 0..<128 {
            #expect(u.row(row)[row] > 0)
            for column in 0..<128 {
                #expect(abs(identity.row(row)[column] - (row == column ? 1 : 0)) < 1e-3)
                if column < row { #expect(u.row(row)[column] == 0) }
            }
        }
    }

    @Test func gptqOfOneColumnAtATimeIsTheTextbook() throws {
        // The loop of the paper with an explicit inverse, in double precision, one column after the other.
        let settings = try settings(.gptq, group: -1)
        let grid = grid(symmetric: true)
        let gptq = GPTQ(settings: settings, grid: grid, workers: workers)
        let factor = try gptq.factor(of: statistics, name: "test")
        let result = try gptq.quantize(weight, factor, name: "test")
        var differences = 0
        for row in 0..<weight.rows {
            var values = (0..<128).map { Double(weight.row(row)[$0]) }
            let group = grid.group(weight.row(row), count: 128)
            for column in 0..<128 {
                let code = grid.code(Float(values[column]), group)
                if UInt8(code) != result.codes[row * 128 + column] { differences += 1 }
                let error =
                    (values[column] - Double(grid.value(code, group))) / Double(factor.inverse.row(column)[column])
                for next in column..<128 { values[next] -= error * Double(factor.inverse.row(column)[next]) }
            }
        }
        // Float32 and double precision disagree where a value lies half way between two codes.
        #expect(differences < 96 * 128 / 200)
    }

    @Test func singularHessians() throws {
        let gptq = GPTQ(settings: try settings(.gptq), grid: grid(symmetric: true), workers: workers)
        let silent = InputStatistics(width: 64)
        #expect(throws: QuantizationError.self) { try gptq.factor(of: silent, name: "test") }
        // Rank one: the damping makes it regular.
        let repeated = Matrix(rows: 4, columns: 64)
        repeated.floats.update(repeating: 1)
        let poor = InputStatistics(width: 64)
        poor.add(repeated.strided, on: workers)
        try poor.finish("test", on: workers)
        _ = try gptq.factor(of: poor, name: "test")
        repeated.base[5] = .infinity
        let broken = InputStatistics(width: 64)
        broken.add(repeated.strided, on: workers)
        #expect(throws: QuantizationError.self) { try broken.finish("test", on: workers) }
    }

    @Test func awqBeatsRounding() throws {
        let settings = try settings(.awq)
        let grid = grid(symmetric: false)
        let awq = AWQ(settings: settings, grid: grid, workers: workers)
        let factors = awq.factors([weight], statistics, sharing: nil)
        let scaled = weight.copy()
        for row in 0..<96 { for column in 0..<128 { scaled.row(row)[column] *= factors[column] } }
        let rounded = QuantizedMatrix.rounded(scaled, groupSize: 32, grid: grid, on: workers)
        let nearest = QuantizedMatrix.rounded(weight, groupSize: 32, grid: grid, on: workers)
        let plain = outputError(nearest.dequantized())
        let error = outputError(rounded.dequantized(), inputFactors: factors)
        #expect(error < 0.8 * plain)
        // Columns that meet large inputs are the ones that were scaled up.
        #expect(factors[5] > factors[4] && factors[21] > factors[22])
        // The quadratic form is the error that it stands for.
        let difference = nearest.dequantized()
        for index in 0..<96 * 128 { difference.base[index] -= weight.base[index] }
        let form = AWQ.quadraticForm(difference, statistics.gram.strided, on: workers) / Double(512 * 96)
        #expect(abs(form - plain) < 1e-3 * plain)

        statistics.divide(by: factors, on: workers)
        let clipped = QuantizedMatrix.rounded(
            scaled, groupSize: 32, grid: grid, limits: awq.limits(scaled, statistics), on: workers)
        #expect(outputError(clipped.dequantized(), inputFactors: factors) < 1.02 * error)
    }

    @Test func smoothQuantBalancesRanges() throws {
        let factors = SmoothQuant(alpha: 0.5).factors([weight], statistics, sharing: nil)
        for column in 0..<128 {
            var largest: Float = 0
            for row in 0..<96 { largest = max(largest, weight.row(row)[column].magnitude) }
            // With α = 1/2 both sides of the product get the same range.
            let (x, w) = (statistics.largest[column] / factors[column], largest * factors[column])
            #expect(abs(x - w) < 1e-4 * w)
        }
        #expect(
            SmoothQuant(alpha: 0.5).factors([weight], InputStatistics(width: 128), sharing: nil).allSatisfy { $0 == 1 })
    }
}
