import MartletCPU
import TestSupport
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
        var random = TestGenerator(seed: 21)
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
            let group = result.group(row: row, index: 0)
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
        let repeated = Matrix(rows: 4, columns: 64)  // nothing is shortened: all rows are equally long
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

    /// Inputs that earlier layers have spoiled: correcting the weights brings the outputs nearer to those of the exact inputs.
    @Test func correctionMakesUpForSpoiledInputs() throws {
        var random = TestGenerator(seed: 8)
        let spoiled = inputs.copy()
        for row in 0..<512 {
            for column in 0..<128 {
                // Part of the loss is predictable, as a rounded layer's is; the rest is noise.
                spoiled.row(row)[column] *= column % 3 == 0 ? 0.8 : 1
                spoiled.row(row)[column] += 0.05 * random.normal()
            }
        }
        let statistics = InputStatistics(width: 128, keepsLoss: true)
        statistics.add(spoiled.strided, exact: inputs.strided, on: workers)
        try statistics.finish("test", on: workers)
        func error(correction: Double) throws -> Double {
            var settings = try settings(.gptq)
            settings.correction = correction
            settings.actOrder = true
            let gptq = GPTQ(settings: settings, grid: grid(symmetric: true), workers: workers)
            let factor = try gptq.factor(of: statistics, name: "test")
            let rounded = try gptq.quantize(
                gptq.corrected(weight, statistics.loss, factor), factor, name: "test"
            ).dequantized()
            let difference = Matrix(rows: 512, columns: 96)
            workers.add(inputs.strided, weight.strided.transposed, to: difference.strided)
            workers.add(spoiled.strided, rounded.strided.transposed, to: difference.strided, scale: -1)
            return difference.floats.reduce(0) { $0 + Double($1 * $1) }
        }
        let (none, half, whole) = try (error(correction: 0), error(correction: 0.5), error(correction: 1))
        #expect(half < 0.6 * none && whole < half)
    }

    /// A row that is a thousand times as long as the others counts as eight times as long.
    @Test func sinksDoNotDrownTheOthers() throws {
        let rows = Matrix(rows: 5, columns: 2)
        for row in 0..<5 { rows.row(row)[row == 2 ? 1 : 0] = row == 2 ? -1000 : 1 }
        let statistics = InputStatistics(width: 2)
        statistics.add(rows.strided, on: workers)
        try statistics.finish("test", on: workers)
        #expect(Array(statistics.gram.floats) == [4, 0, 0, 64])
        #expect(statistics.largest == [1, 8] && statistics.meanMagnitudes == [0.8, 1.6])
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
            scaled, groupSize: 32, grid: grid, ranges: awq.ranges(scaled, statistics), on: workers)
        let clippedError = outputError(clipped.dequantized(), inputFactors: factors)
        #expect(clippedError < 0.95 * error)

        // Errors that later columns make up for, on the same scaled columns.
        let gptq = GPTQ(settings: settings, grid: grid, workers: workers)
        let compensated = try gptq.quantize(scaled, gptq.factor(of: statistics, name: "test"), name: "test")
        #expect(compensated.groupIndex == nil)
        #expect(outputError(compensated.dequantized(), inputFactors: factors) < 0.8 * clippedError)
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
