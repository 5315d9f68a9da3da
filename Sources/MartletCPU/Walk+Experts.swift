import CKernels
import Glibc
import MartletGraph

/// A mixture of experts as the hot loop sees it. A *pair* is a token and one of its experts; its number is
/// token · perToken + choice, and its *place* is where it lies among all pairs sorted by expert.
struct ExpertsCall {
    var gate: UnsafeMutablePointer<MatrixView>
    var up: UnsafeMutablePointer<MatrixView>
    var down: UnsafeMutablePointer<MatrixView>
    /// Experts in all.
    var count: Int
    /// How each expert's input is ordered; nil as it is.
    var orders: UnsafeMutablePointer<UnsafeMutablePointer<Int32>?>
    var perToken: Int
    var normalizesWeights: Bool
    var width: Int
    /// Width of one expert.
    var inner: Int

    var x: Rows
    var logits: Rows
    var out: Rows
    /// Workspace by place. An expert's rows are an operand of their own that starts at its first place.
    var gathered: Rows
    var activated: Rows
    /// `[pairs][width]`.
    var products: UnsafeMutablePointer<Float>

    /// By pair: expert and weight.
    var chosen: UnsafeMutablePointer<Int>
    var weights: UnsafeMutablePointer<Float>
    /// The pair at each place, and the place of each pair.
    var pairs: UnsafeMutablePointer<Int>
    var places: UnsafeMutablePointer<Int>
    /// The place of each expert's first pair, and at the end the number of pairs.
    var starts: UnsafeMutablePointer<Int>
    /// The experts that have any.
    var active: UnsafeMutablePointer<Int>
    var activeCount: UnsafeMutablePointer<Int>

    /// The places of an expert's pairs.
    func places(of expert: Int) -> Range<Int> { starts[expert]..<starts[expert &+ 1] }

    func gathered(from place: Int) -> Rows { rows(gathered, width: width, from: place) }
    func activated(from place: Int) -> Rows { rows(activated, width: inner, from: place) }

    private func rows(_ workspace: Rows, width: Int, from place: Int) -> Rows {
        var rows = workspace
        (rows.width, rows.stride) = (width, width)
        rows.base += place &* rows.format.rowBytes(width)
        return rows
    }
}

// Grouped matrix products: pairs are sorted by expert, so that each expert's weights are read once, for all of its tokens.
// A pair's arithmetic does not depend on the others of its expert (`linear` kernels compute a token alone and among others
// alike), and a token adds its experts in the order in which it chose them: results are batch-invariant.
extension Walk {
    func experts(_ call: ExpertsCall, _ worker: Int) {
        let rowCount = count(call.out)
        guard rowCount > 0 else { return }
        let pairCount = rowCount &* call.perToken
        forEachRow(call.out) { row in route(call, row, scratch[worker].row) }
        barrier()
        forEachItem(of: 1) { _ in sort(call, pairCount) }
        barrier()
        forEachItem(of: pairCount, grain: max(1, min(16, pairCount / (4 &* workerCount)))) { range in
            for place in range { gather(call, place, scratch[worker].row) }
        }
        barrier()
        let columns = WorkerScratch.swiGLUColumns
        let gateUnits = (call.inner &+ columns &- 1) / columns
        forEachItem(of: call.activeCount[0] &* gateUnits) { range in
            for item in range { activate(call, expert: call.active[item / gateUnits], unit: item % gateUnits, worker) }
        }
        barrier()
        let downUnits = (call.width &+ columns &- 1) / columns
        forEachItem(of: call.activeCount[0] &* downUnits) { range in
            for item in range { project(call, expert: call.active[item / downUnits], unit: item % downUnits) }
        }
        barrier()
        forEachRow(call.out) { row in combine(call, row) }
    }

    /// Chooses a token's experts: softmax over all of them, then the largest; of equal ones the first.
    private func route(_ call: ExpertsCall, _ row: Int, _ probabilities: UnsafeMutablePointer<Float>) {
        let logits = call.logits.row(row)
        var largest = -Float.infinity
        for expert in 0..<call.count { largest = max(largest, logits[expert]) }
        var sum: Float = 0
        for expert in 0..<call.count {
            probabilities[expert] = expf(logits[expert] - largest)
            sum += probabilities[expert]
        }
        let first = row &* call.perToken
        var chosenSum: Float = 0
        for choice in 0..<call.perToken {
            var best = 0
            for expert in 1..<max(call.count, 1) where probabilities[expert] > probabilities[best] { best = expert }
            let weight = probabilities[best] / sum
            call.chosen[first &+ choice] = best
            call.weights[first &+ choice] = weight
            chosenSum += weight
            probabilities[best] = -.infinity
        }
        guard call.normalizesWeights else { return }
        for choice in first..<first &+ call.perToken { call.weights[choice] /= chosenSum }
    }

    /// Counting sort of the pairs by expert; it is stable, so an expert's tokens keep their order.
    private func sort(_ call: ExpertsCall, _ pairCount: Int) {
        for expert in 0...call.count { call.starts[expert] = 0 }
        for pair in 0..<pairCount { call.starts[call.chosen[pair] &+ 1] &+= 1 }
        var active = 0
        for expert in 0..<call.count {
            if call.starts[expert &+ 1] > 0 {
                call.active[active] = expert
                active &+= 1
            }
            call.starts[expert &+ 1] &+= call.starts[expert]
        }
        call.activeCount[0] = active
        // `starts` moves on to each expert's end, which is the next one's start, and is moved back.
        for pair in 0..<pairCount {
            let expert = call.chosen[pair]
            call.places[pair] = call.starts[expert]
            call.pairs[call.starts[expert]] = pair
            call.starts[expert] &+= 1
        }
        for expert in stride(from: call.count, to: 0, by: -1) { call.starts[expert] = call.starts[expert &- 1] }
        call.starts[0] = 0
    }

    /// A pair's input into its place, in the format that the kernels read.
    private func gather(_ call: ExpertsCall, _ place: Int, _ temporary: UnsafeMutablePointer<Float>) {
        let pair = call.pairs[place]
        let group = call.places(of: call.chosen[pair])
        let target = call.gathered(from: group.lowerBound)
        var source = call.x.row(pair / call.perToken)
        if let order = call.orders[call.chosen[pair]] {
            for column in 0..<call.width { temporary[column] = source[Int(order[column])] }
            source = temporary
        }
        store(source, columns: 0..<call.width, row: place &- group.lowerBound, of: group.count, target)
    }

    /// silu(gate) · up for 64 columns of an expert and all of its pairs.
    private func activate(_ call: ExpertsCall, expert: Int, unit: Int, _ worker: Int) {
        let group = call.places(of: expert)
        let unitColumns = WorkerScratch.swiGLUColumns
        let columns = unit &* unitColumns..<min((unit &+ 1) &* unitColumns, call.inner)
        let (gate, up) = (scratch[worker].gateUp, scratch[worker].gateUp + unitColumns)
        let stride = 2 &* unitColumns
        let product = scratch[worker].row
        let source = call.gathered(from: group.lowerBound)
        let target = call.activated(from: group.lowerBound)
        for block in Swift.stride(from: 0, to: group.count, by: WorkerScratch.swiGLUTokens) {
            let tokens = min(WorkerScratch.swiGLUTokens, group.count &- block)
            let x = source.base + block &* source.format.rowBytes(call.width)
            // The kernels write column c to c: the unit's first column lands on the scratch's start.
            multiply(call.gate[expert], x, source.format, columns, tokens, gate - columns.lowerBound, stride)
            multiply(call.up[expert], x, source.format, columns, tokens, up - columns.lowerBound, stride)
            for token in 0..<tokens {
                kernels.pointee.silu_multiply(
                    gate + token &* stride, up + token &* stride, Int64(columns.count), product)
                store(product, columns: columns, row: block &+ token, of: group.count, target)
            }
        }
    }

    /// 64 columns of an expert's results for all of its pairs.
    private func project(_ call: ExpertsCall, expert: Int, unit: Int) {
        let group = call.places(of: expert)
        let unitColumns = WorkerScratch.swiGLUColumns
        let columns = unit &* unitColumns..<min((unit &+ 1) &* unitColumns, call.width)
        let source = call.activated(from: group.lowerBound)
        multiply(
            call.down[expert], source.base, source.format, columns, group.count,
            call.products + group.lowerBound &* call.width, call.width)
    }

    /// Some output columns, which start at a panel, of x Wᵀ.
    private func multiply(
        _ matrix: MatrixView, _ x: UnsafeMutableRawPointer, _ format: ActivationFormat, _ columns: Range<Int>,
        _ tokens: Int, _ output: UnsafeMutablePointer<Float>, _ stride: Int
    ) {
        let panelRows = CK_PANEL
        let segment = matrix.segments[0]
        var job = ck_linear(
            weights: segment.panels, activations: x, bias: nil, output: output, columns: Int64(segment.columns),
            rows: Int64(segment.rows), tokens: Int64(tokens), output_stride: Int64(stride), accumulate: 0)
        ck_run_linear(
            kernels, segment.layout, format.kernelFormat, &job, Int64(columns.lowerBound / panelRows),
            Int64((columns.upperBound &+ panelRows &- 1) / panelRows))
    }

    /// The weighted sum of a token's experts, in the order in which it chose them.
    private func combine(_ call: ExpertsCall, _ row: Int) {
        let out = call.out.row(row)
        for choice in 0..<call.perToken {
            let pair = row &* call.perToken &+ choice
            let product = call.products + call.places[pair] &* call.width
            let weight = call.weights[pair]
            if choice == 0 {
                for column in 0..<call.width { out[column] = weight * product[column] }
            } else {
                for column in 0..<call.width { out[column] += weight * product[column] }
            }
        }
    }
}
