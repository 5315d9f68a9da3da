import CKernels
import Foundation
import MartletCPU
import MartletGraph
import Testing

/// Steps whose tokens bring rows with them: attention that sees all of a request or of a window, and the ops around it.
@Suite struct FeatureTests {
    /// Rows `[count][3 · heads · headDim]` of queries, keys and values.
    struct Shape: Sendable, CustomTestStringConvertible {
        var count: Int
        var heads: Int
        var headDim: Int
        /// Sizes of windows that follow each other; empty: everything sees everything.
        var windows: [Int] = []

        var width: Int { heads * headDim }
        var testDescription: String { "\(count) rows, \(heads) heads of \(headDim), windows \(windows)" }
    }

    /// One row; several pages; several chunks of 512; windows that lie on pages and across them.
    static let shapes = [
        Shape(count: 1, heads: 2, headDim: 8), Shape(count: 75, heads: 3, headDim: 10),
        Shape(count: 600, heads: 2, headDim: 32), Shape(count: 1100, heads: 1, headDim: 64),
        Shape(count: 75, heads: 3, headDim: 10, windows: [5, 1, 60, 9]),
        Shape(count: 200, heads: 2, headDim: 16, windows: [64, 64, 72]),
    ]

    private func rows(_ shape: Shape) -> [Float] {
        var random = TinyRandom(state: 11)
        return (0..<shape.count * 3 * shape.width).map { _ in random.unit() }
    }

    private func attend(_ shape: Shape, _ rows: [Float], _ instructionSet: String, threads: Int) throws -> [Float] {
        let tracer = Tracer()
        let width = shape.width
        let attended = Tensor.attention(
            q: tracer.features(width: width), k: tracer.features(column: width, width: width),
            v: tracer.features(column: 2 * width, width: width),
            AttentionParameters(
                kv: KVLayer(layer: 0, kvHeads: shape.heads, headDim: shape.headDim), heads: shape.heads,
                scale: 1 / Float(shape.headDim).squareRoot(), scope: shape.windows.isEmpty ? .all : .window))
        let backend = try CPUBackend(threads: threads, instructionSet: instructionSet)
        let compiled = try backend.compile(
            tracer.finish(attended.sampledRows()),
            options: CompileOptions(
                limits: StepLimits(tokens: shape.count, sampled: shape.count, requests: 1), kvRows: shape.count,
                kvType: .f32)
        ) { _ in }
        return run(compiled, rows, count: shape.count, windows: shape.windows)
    }

    /// One step whose tokens bring `rows`, all of them sampled.
    private func run(
        _ compiled: any CompiledModel, _ rows: [Float], count: Int, tokens: [Int32]? = nil, windows: [Int] = [],
        sampled: Int? = nil, rotaryPositions: [RotaryPosition] = []
    ) -> [Float] {
        let input = StepInput(limits: compiled.limits)
        let features = TokenFeatures(
            spans: [.init(first: 0, rows: FeatureRows(rows, width: rows.count / count))],
            rotaryPositions: rotaryPositions)
        let table = UnsafeMutablePointer<Int32>.allocate(capacity: count)
        defer { table.deallocate() }
        for row in 0..<count { table[row] = Int32(row) }
        (tokens ?? [Int32](repeating: 0, count: count)).withUnsafeBufferPointer {
            input.append(
                query: $0, computed: 0, table: table, sampledTail: sampled ?? count, features: features)
        }
        for window in windows { input.appendWindow(window) }
        return withExtendedLifetime(features) { [Float](compiled.run(input)) }
    }

    private func reference(_ shape: Shape, _ rows: [Float]) -> [Double] {
        let (width, headDim) = (shape.width, shape.headDim)
        func value(_ row: Int, _ part: Int, _ column: Int) -> Double {
            Double(rows[row * 3 * width + part * width + column])
        }
        var result = [Double](repeating: 0, count: shape.count * width)
        var first = 0
        for window in shape.windows.isEmpty ? [shape.count] : shape.windows {
            let seen = first..<first + window
            first += window
            for row in seen {
                for head in 0..<shape.heads {
                    let columns = head * headDim..<(head + 1) * headDim
                    let scores = seen.map { other in
                        columns.reduce(0) { $0 + value(row, 0, $1) * value(other, 1, $1) }
                            / Double(headDim).squareRoot()
                    }
                    let weights = scores.map { exp($0 - (scores.max() ?? 0)) }
                    let total = weights.reduce(0, +)
                    for column in columns {
                        result[row * width + column] =
                            zip(seen, weights).reduce(0) { $0 + $1.1 * value($1.0, 2, column) } / total
                    }
                }
            }
        }
        return result
    }

    /// Values are below 1; sums of a thousand terms round to within 1e-5 of them.
    @Test(arguments: shapes, CPUProgramTests.instructionSets)
    func everyRowSeesAllOfItsWindow(shape: Shape, instructionSet: String) throws {
        let rows = rows(shape)
        let ours = try attend(shape, rows, instructionSet, threads: 1)
        let expected = reference(shape, rows)
        #expect(ours.count == expected.count)
        #expect(zip(ours, expected).allSatisfy { abs(Double($0) - $1) < 1e-5 })
        #expect(try attend(shape, rows, instructionSet, threads: 3) == ours)
    }

    @Test func rowsAreReplacedConcatenatedAndGrouped() throws {
        var random = TinyRandom(state: 3)
        let table = RandomWeight(5, 4, quantized: false, &random)
        let rows: [Float] = (0..<6 * 6).map { Float($0) }
        func compile(_ body: (Tracer) -> Tensor) throws -> any CompiledModel {
            let tracer = Tracer()
            return try CPUBackend(threads: 2, policy: LayoutPolicy(exactFloat32: true)).compile(
                tracer.finish(body(tracer)),
                options: CompileOptions(limits: StepLimits(tokens: 8, sampled: 8, requests: 1), kvRows: 8)
            ) { _ in }
        }
        let replaced = try compile { tracer in
            tracer.embed(LinearWeight("embed", table)).replacedByFeatures().sampledRows()
        }
        // Tokens 1 and 2 bring rows; 0 and 3 are looked up. An id below zero is no row of the table.
        let input = StepInput(limits: replaced.limits)
        let features = TokenFeatures(spans: [.init(first: 1, rows: FeatureRows(rows.prefix(12), width: 6))])
        let kvRows = UnsafeMutablePointer<Int32>.allocate(capacity: 4)
        defer { kvRows.deallocate() }
        for row in 0..<4 { kvRows[row] = Int32(row) }
        let ids: [Int32] = [3, -1, -1, 2]
        ids.withUnsafeBufferPointer {
            input.append(query: $0, computed: 0, table: kvRows, sampledTail: 4, features: features)
        }
        func row(_ token: Int) -> [Float] { Array(table.values[token * 4..<token * 4 + 4]) }
        let result = withExtendedLifetime(features) { [Float](replaced.run(input)) }
        #expect(result == row(3) + [0, 1, 2, 3, 6, 7, 8, 9] + row(2))

        let grouped = try compile { tracer in
            Tensor.concatenate([
                tracer.features(column: 1, width: 2).groupedRows(2), tracer.features(width: 1).groupedRows(2),
            ])
        }
        #expect(
            run(grouped, rows, count: 6, sampled: 3) == [
                1, 2, 7, 8, 0, 6, 13, 14, 19, 20, 12, 18, 25, 26, 31, 32, 24, 30,
            ])
    }

    /// Each pair is turned by the position on its axis.
    @Test func rotaryAxesTellPositionsApart() throws {
        let frequencies: [Float] = [1, 0.5, 0.25]
        let rows: [Float] = [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]
        let positions = [RotaryPosition(3, 1, 4), RotaryPosition(0, 7, 2)]
        let tracer = Tracer()
        let rotary = RotaryEmbedding(inverseFrequencies: frequencies, axes: [2, 0, 1])
        let compiled = try CPUBackend(threads: 1).compile(
            tracer.finish(tracer.features(width: 6).rope(rotary, headDim: 6).sampledRows()),
            options: CompileOptions(limits: StepLimits(tokens: 2, sampled: 2, requests: 1), kvRows: 2)
        ) { _ in }
        let ours = run(compiled, rows, count: 2, rotaryPositions: positions)
        for (row, position) in positions.enumerated() {
            for (pair, axis) in [2, 0, 1].enumerated() {
                let angle = Double(position[axis]) * Double(frequencies[pair])
                let (x, y) = (Double(rows[row * 6 + pair]), Double(rows[row * 6 + pair + 3]))
                #expect(abs(Double(ours[row * 6 + pair]) - (x * cos(angle) - y * sin(angle))) < 1e-5)
                #expect(abs(Double(ours[row * 6 + pair + 3]) - (y * cos(angle) + x * sin(angle))) < 1e-5)
            }
        }
    }
}
