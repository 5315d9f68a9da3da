import Foundation
import MartletCPU
import MartletCheckpoints

/// Quantizes a model layer by layer: in memory are one layer's weights, what its inputs have in common, and the hidden states
/// of the calibration samples.
package struct Quantizer {
    package let settings: QuantizationSettings
    private let source: SourceModel
    private let calibration: CalibrationText?
    private let destination: URL
    private let format: QuantizedFormat
    private let grid: QuantizationGrid
    private let scales: FloatStorage
    private let backend: CPUBackend
    private let workers: MatrixProduct

    /// What was done.
    package struct Summary: Sendable {
        /// Layers that an earlier run had finished.
        package let reusedLayers: Int
        package let layers: Int
        /// Squared error of the linear layers' weights, as a share of the weights' own square; nil if all were reused.
        package let relativeError: Double?
    }

    /// Checks everything that can be checked before the work begins.
    ///
    /// - Parameters:
    ///   - calibration: what the model reads; unused by round-to-nearest.
    /// - Throws: `QuantizationError` or `CheckpointError`.
    package init(
        source path: String, destination: String, settings: QuantizationSettings, calibration: CalibrationText?,
        threads: Int, instructionSet: String? = nil
    ) throws {
        self.settings = settings
        self.calibration = settings.needsCalibration ? calibration : nil
        guard !settings.needsCalibration || calibration != nil else {
            throw QuantizationError("\(settings.method.rawValue) needs a calibration text")
        }
        self.destination = URL(filePath: destination)
        guard !FileManager.default.fileExists(atPath: destination) else {
            throw QuantizationError("\(destination) is there already: remove it, or choose another name")
        }
        source = try SourceModel(path: path, contextLength: calibration?.length ?? 1)
        if let length = calibration?.length, length > source.configuration.maxPositionEmbeddings {
            throw QuantizationError(
                "samples of \(length) tokens are longer than the model's context of "
                    + "\(source.configuration.maxPositionEmbeddings)")
        }
        format = settings.format
        scales = format.scaleStorage(model: source.storage)
        grid = QuantizationGrid(
            bits: settings.bits, isSymmetric: settings.isSymmetric, scaleStorage: scales,
            smallestZero: format == .gptq ? 1 : 0)
        backend = try CPUBackend(
            threads: threads, policy: LayoutPolicy(exactFloat32: true), instructionSet: instructionSet)
        workers = try MatrixProduct(threads: threads, instructionSet: instructionSet)
        try checkShapes()
    }

    private func checkShapes() throws {
        let alignment = format.alignment(bits: settings.bits, isSymmetric: settings.isSymmetric)
        for layer in 0..<source.configuration.layerCount {
            for linear in LayerGroup.linears {
                let name = "\(source.layerName(layer)).\(linear)"
                let shape = try source.shape(name)
                if let size = settings.groupSize, shape.columns % size != 0, !format.allowsTails {
                    throw QuantizationError(
                        "\(name) has \(shape.columns) input columns, which groups of \(size) do not divide")
                }
                guard shape.rows % alignment.rows == 0, shape.columns % alignment.columns == 0 else {
                    throw QuantizationError(
                        "\(name) has \(shape.rows) outputs and \(shape.columns) inputs, which must be multiples of "
                            + "\(alignment.rows) and \(alignment.columns) in this format")
                }
            }
        }
    }

    /// Does the work, or what is left of it.
    ///
    /// - Parameter progress: called with 0 to 1 and what is being done. Where it throws, the work stops; finished layers are kept.
    package func run(progress: (Double, String) throws -> Void) throws -> Summary {
        let work = try WorkFolder(destination: destination, identity: identity())
        try work.checkSpace(bytesNeeded)
        let layers = source.configuration.layerCount
        var reused = 0
        while reused < layers, work.has(layer: reused) { reused += 1 }
        var hidden: Matrix?
        if let calibration, reused < layers {
            let columns = source.configuration.hiddenSize
            // With error propagation those of the unquantized model follow.
            let tokens = keepsExact ? calibration.tokens + calibration.tokens : calibration.tokens
            hidden = work.hidden(before: reused, rows: tokens.count, columns: columns)
            if hidden == nil {
                // Without what enters it a layer can't be continued from.
                reused = 0
                hidden = try source.embeddings(of: tokens)
            }
        }
        var error = SquaredError()
        for layer in reused..<layers {
            let tensors = try quantize(layer, hidden, &error) { part in
                try progress((Double(layer) + part) / Double(layers), "layer \(layer + 1)/\(layers)")
            }
            try work.finish(layer: layer, tensors, hidden: hidden)
        }
        try progress(1, "writing")
        let result = try work.makeResultFolder()
        try CheckpointAssembler(source: source, settings: settings, format: format)
            .write(layers: (0..<layers).map(work.layerURL), to: result)
        try work.finish(result)
        return Summary(reusedLayers: reused, layers: layers, relativeError: error.relative)
    }

    /// Whether the unquantized model runs beside the one that is made.
    private var keepsExact: Bool { [.gptq, .awq].contains(settings.method) && settings.correction > 0 }

    // MARK: One layer

    /// Quantizes a layer, and replaces what enters it by what leaves it.
    private func quantize(
        _ layer: Int, _ hidden: Matrix?, _ error: inout SquaredError, progress: (Double) throws -> Void
    ) throws -> [OutputTensor] {
        var parameters = try LayerParameters(source, layer: layer)
        parameters.headDim = source.configuration.headDim
        try progress(0)
        var matrices: [String: QuantizedMatrix] = [:]
        if let hidden {
            switch settings.method {
            case .rtn: break
            case .smoothquant:
                let statistics = try observe(layer, parameters, hidden, keepsOutput: true) { try progress(0.8 * $0) }
                try foldFactors(into: &parameters, statistics) { try progress(0.8 + 0.2 * $0) }
            case .awq:
                let statistics = try observe(layer, parameters, hidden) { try progress(0.1 * $0) }
                try foldFactors(into: &parameters, statistics) { try progress(0.1 + 0.2 * $0) }
                matrices = try roundInTurn(layer, parameters, hidden) { try progress(0.3 + 0.7 * $0) }
            case .gptq:
                matrices = try roundInTurn(layer, parameters, hidden, progress)
            }
        }
        for (linear, weight) in parameters.weights where matrices[linear] == nil {
            matrices[linear] = .rounded(weight, groupSize: settings.groupSize, grid: grid, on: workers)
        }
        for (linear, matrix) in matrices {
            let rounded = matrix.dequantized()
            guard rounded.isFinite else {
                throw QuantizationError(
                    "\(parameters.name).\(linear) has weights whose scale is too large for \(scales.rawValue)")
            }
            error.add(rounded, of: try parameters.weight(linear))
        }
        return try tensors(parameters, matrices)
    }

    /// Rounds the linear layers in the order in which they are computed: each is calibrated on what the rounded ones before it
    /// really give.
    private func roundInTurn(
        _ layer: Int, _ parameters: LayerParameters, _ hidden: Matrix, _ progress: (Double) throws -> Void
    ) throws -> [String: QuantizedMatrix] {
        var rounded = parameters
        var matrices: [String: QuantizedMatrix] = [:]
        let steps = Double(LayerGroup.all.count + 1)
        for (index, group) in LayerGroup.all.enumerated() {
            func part(_ share: Double) throws { try progress((Double(index) + share) / steps) }
            let statistics = try observe(layer, rounded, exact: parameters, group, hidden) { try part(0.5 * $0) }
            for linear in group.linears {
                let name = "\(parameters.name).\(linear)"
                matrices[linear] = try round(parameters.weight(linear), statistics, name: name)
                rounded.weights[linear] = matrices[linear]?.dequantized()
            }
            try part(1)
        }
        // What follows is calibrated on what this layer really gives.
        try advance(layer, rounded, exact: parameters, hidden) { try progress((steps - 1 + $0) / steps) }
        return matrices
    }

    /// Runs the calibration samples through a layer and keeps what its linear layers are given, by group.
    ///
    /// - Parameter keepsOutput: what leaves the layer takes the place of what enters it.
    private func observe(
        _ layer: Int, _ parameters: LayerParameters, _ hidden: Matrix, keepsOutput: Bool = false,
        progress: (Double) throws -> Void
    ) throws -> [InputStatistics] {
        let forward = try forward(layer, parameters, .all)
        let inputs = try LayerGroup.all.map { try range(of: $0, in: forward, parameters) }
        let statistics = inputs.map { InputStatistics(width: $0.count) }
        try forEachSample(hidden, progress) { sample, _ in
            let rows = forward(UnsafeBufferPointer(sample))
            for (range, statistics) in zip(inputs, statistics) {
                statistics.add(rows[0..<rows.rows, range], on: workers)
            }
            if keepsOutput { Self.copy(rows, to: sample, width: hidden.columns) }
        }
        for (group, statistics) in zip(LayerGroup.all, statistics) {
            try statistics.finish("\(parameters.name).\(group.linears[0])", on: workers)
        }
        return statistics
    }

    /// Runs the calibration samples as far as a group of linear layers, beside the unquantized model where that is kept.
    private func observe(
        _ layer: Int, _ parameters: LayerParameters, exact: LayerParameters, _ group: LayerGroup, _ hidden: Matrix,
        progress: (Double) throws -> Void
    ) throws -> InputStatistics {
        let own = try forward(layer, parameters, .input(group.linears[0]))
        let other = keepsExact ? try forward(layer, exact, .input(group.linears[0])) : nil
        let statistics = InputStatistics(
            width: try range(of: group, in: own, parameters).count, keepsLoss: keepsExact)
        try forEachSample(hidden, progress) { sample, exact in
            statistics.add(
                own(UnsafeBufferPointer(sample)), exact: other.map { $0(UnsafeBufferPointer(exact)) }, on: workers)
        }
        try statistics.finish("\(parameters.name).\(group.linears[0])", on: workers)
        return statistics
    }

    private func range(
        of group: LayerGroup, in forward: LayerForward, _ parameters: LayerParameters
    ) throws(QuantizationError) -> Range<Int> {
        let name = "\(parameters.name).\(group.linears[0])"
        guard let range = forward.output.inputs[name] else {
            throw QuantizationError("\(name) is no part of the model's graph")
        }
        return range
    }

    /// Replaces what enters a layer by what leaves it.
    private func advance(
        _ layer: Int, _ parameters: LayerParameters, exact: LayerParameters, _ hidden: Matrix,
        progress: (Double) throws -> Void
    ) throws {
        let own = try forward(layer, parameters, .output)
        let other = keepsExact ? try forward(layer, exact, .output) : nil
        try forEachSample(hidden, progress) { sample, exact in
            Self.copy(own(UnsafeBufferPointer(sample)), to: sample, width: hidden.columns)
            if let other { Self.copy(other(UnsafeBufferPointer(exact)), to: exact, width: hidden.columns) }
        }
    }

    private func forward(
        _ layer: Int, _ parameters: LayerParameters, _ view: LayerForward.View
    ) throws -> LayerForward {
        try LayerForward(
            source.graph, layer: layer, parameters, view: view, length: calibration?.length ?? 1, backend: backend)
    }

    /// Calls `body` with what enters the layer for each sample: in the model that is made, and in the unquantized one (empty where
    /// that is not kept).
    private func forEachSample(
        _ hidden: Matrix, _ progress: (Double) throws -> Void,
        _ body: (_ own: UnsafeMutableBufferPointer<Float>, _ exact: UnsafeMutableBufferPointer<Float>) -> Void
    ) rethrows {
        guard let calibration else { return }
        let floats = calibration.length * hidden.columns
        for sample in 0..<calibration.samples {
            let own = UnsafeMutableBufferPointer(start: hidden.base + sample * floats, count: floats)
            let exact = UnsafeMutableBufferPointer(
                start: hidden.base + (keepsExact ? calibration.samples + sample : sample) * floats,
                count: keepsExact ? floats : 0)
            body(own, exact)
            try progress(Double(sample + 1) / Double(calibration.samples))
        }
    }

    private static func copy(_ rows: borrowing StridedMatrix, to sample: UnsafeMutableBufferPointer<Float>, width: Int)
    {
        guard let base = sample.baseAddress else { return }
        for row in 0..<rows.rows {
            (base + row * width).update(from: rows.base + row * rows.rowStride, count: width)
        }
    }

    // MARK: Methods

    /// Rounds a linear layer for what it is given.
    private func round(
        _ weight: Matrix, _ statistics: InputStatistics, name: String
    ) throws -> QuantizedMatrix {
        let gptq = GPTQ(settings: settings, grid: grid, workers: workers)
        let factor = try gptq.factor(of: statistics, name: name)
        let corrected = gptq.corrected(weight, statistics.loss, factor)
        guard settings.method == .awq, settings.rounding == .nearest else {
            return try gptq.quantize(corrected, factor, name: name)
        }
        let ranges = AWQ(settings: settings, grid: grid, workers: workers).ranges(corrected, statistics)
        return .rounded(corrected, groupSize: settings.groupSize, grid: grid, ranges: ranges, on: workers)
    }

    /// Moves factors between what makes the linear layers' inputs and their columns. The statistics become those of the inputs
    /// as they then are.
    private func foldFactors(
        into parameters: inout LayerParameters, _ statistics: [InputStatistics], progress: (Double) throws -> Void
    ) throws {
        let awq = AWQ(settings: settings, grid: grid, workers: workers)
        let smooth = SmoothQuant(alpha: Float(settings.alpha))
        for (index, group) in LayerGroup.all.enumerated() {
            let weights = try group.linears.map { linear in try parameters.weight(linear) }
            var sharing: [Int]?
            if case .rows(let linear) = group.fold {
                sharing = LayerParameters.rowsOfColumns(
                    rows: try parameters.weight(linear).rows, columns: statistics[index].width,
                    head: parameters.headDim)
            }
            let factors =
                settings.method == .awq
                ? awq.factors(weights, statistics[index], sharing: sharing)
                : smooth.factors(weights, statistics[index], sharing: sharing)
            let applied = try parameters.fold(factors, of: group, storage: source.storage)
            statistics[index].divide(by: applied, on: workers)
            try progress(Double(index + 1) / Double(LayerGroup.all.count))
        }
    }

    // MARK: Files

    private func tensors(
        _ parameters: LayerParameters, _ matrices: [String: QuantizedMatrix]
    ) throws -> [OutputTensor] {
        var tensors: [OutputTensor] = []
        for (name, values) in parameters.vectors.sorted(by: { $0.key < $1.key }) {
            tensors.append(
                OutputTensor("\(parameters.name).\(name)", shape: [values.count], values, as: source.storage))
        }
        for (linear, matrix) in matrices.sorted(by: { $0.key < $1.key }) {
            tensors += format.tensors("\(parameters.name).\(linear)", matrix, scales: scales)
        }
        return tensors
    }

    private func identity() throws -> WorkFolder.Identity {
        let folder = URL(filePath: source.folder.path)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        let files = try names.filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".json") }.map { name in
            let path = folder.appending(path: name).resolvingSymlinksInPath().path
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            let time = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            return "\(name) \(attributes[.size] ?? 0) \(time)"
        }
        return .init(settings: settings, source: files, calibration: calibration?.fingerprint)
    }

    /// A little more than the layers and the result take together, with two copies of the hidden states.
    private var bytesNeeded: Int {
        let configuration = source.configuration
        let others = 2 * configuration.vocabularySize * configuration.hiddenSize * 2
        let heads = (configuration.headCount + 2 * configuration.kvHeadCount) * configuration.headDim
        let layer =
            configuration.hiddenSize
            * (heads + configuration.headCount * configuration.headDim + 3 * configuration.intermediateSize)
        let codes = configuration.layerCount * layer * settings.bits / 8
        let hidden =
            (calibration?.tokens.count ?? 0) * (keepsExact ? 2 : 1) * configuration.hiddenSize
            * MemoryLayout<Float>.stride
        return 2 * (codes + codes / 8) + others + 2 * hidden
    }
}

/// Σ (w' - w)² as a share of Σ w².
private struct SquaredError {
    private var error = 0.0
    private var total = 0.0

    mutating func add(_ rounded: Matrix, of weight: Matrix) {
        for (new, old) in zip(rounded.floats, weight.floats) {
            error += Double((new - old) * (new - old))
            total += Double(old * old)
        }
    }

    var relative: Double? { total > 0 ? error / total : nil }
}
