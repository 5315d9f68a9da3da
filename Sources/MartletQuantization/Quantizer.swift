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
    private var keepsExact: Bool { settings.method == .gptq && settings.correction > 0 }

    // MARK: One layer

    /// Quantizes a layer, and replaces what enters it by what leaves it.
    private func quantize(
        _ layer: Int, _ hidden: Matrix?, _ error: inout SquaredError, progress: (Double) throws -> Void
    ) throws -> [OutputTensor] {
        var parameters = try LayerParameters(source, layer: layer)
        parameters.headDim = source.configuration.headDim
        try progress(0)
        var matrices: [String: QuantizedMatrix] = [:]
        switch settings.method {
        case .rtn: break
        case .gptq:
            guard let hidden else { break }
            let statistics = try observe(layer, parameters, hidden, keepsOutput: false) { try progress(0.4 * $0) }
            matrices = try roundByGPTQ(parameters, statistics) { try progress(0.4 + 0.3 * $0) }
            // What follows is calibrated on what this layer really gives.
            var rounded = parameters
            for (linear, matrix) in matrices {
                error.add(matrix.dequantized(), of: try parameters.weight(linear))
                rounded.weights[linear] = matrix.dequantized()
            }
            try advance(layer, rounded, hidden) { try progress(0.7 + 0.3 * $0) }
        case .awq, .smoothquant:
            guard let hidden else { break }
            let statistics = try observe(layer, parameters, hidden, keepsOutput: true) { try progress(0.6 * $0) }
            try foldFactors(into: &parameters, statistics) { try progress(0.6 + 0.2 * $0) }
            if settings.method == .awq { matrices = try roundClipped(parameters, statistics) }
        }
        if matrices.isEmpty {
            for (linear, weight) in parameters.weights {
                matrices[linear] = .rounded(weight, groupSize: settings.groupSize, grid: grid, on: workers)
            }
        }
        if settings.method != .gptq {
            for (linear, matrix) in matrices { error.add(matrix.dequantized(), of: try parameters.weight(linear)) }
        }
        return try tensors(parameters, matrices)
    }

    /// Runs the calibration samples through a layer and keeps what its linear layers are given, by group.
    ///
    /// - Parameter keepsOutput: what leaves the layer takes the place of what enters it.
    private func observe(
        _ layer: Int, _ parameters: LayerParameters, _ hidden: Matrix, keepsOutput: Bool,
        progress: (Double) throws -> Void
    ) throws -> [InputStatistics] {
        guard let calibration else { return [] }
        let forward = try LayerForward(
            source.graph, layer: layer, parameters, taps: true, length: calibration.length, backend: backend)
        let inputs = try LayerGroup.all.map { group in
            guard let range = forward.output.inputs["\(parameters.name).\(group.linears[0])"] else {
                throw QuantizationError("\(parameters.name).\(group.linears[0]) is no part of the model's graph")
            }
            return range
        }
        let statistics = inputs.map { InputStatistics(width: $0.count, keepsLoss: keepsExact) }
        let samples = calibration.samples * calibration.length * hidden.columns
        let exact = keepsExact ? Matrix(rows: calibration.length, columns: forward.rowWidth) : nil
        try forEachSample(hidden, progress) { sample in
            if let exact, let base = sample.baseAddress {
                let own = UnsafeMutableBufferPointer(start: base + samples, count: sample.count)
                let rows = forward(UnsafeBufferPointer(own))
                exact.base.update(from: rows.base, count: rows.rows * rows.columns)
                Self.copy(rows, to: own, width: hidden.columns)
            }
            let rows = forward(UnsafeBufferPointer(sample))
            for (range, statistics) in zip(inputs, statistics) {
                statistics.add(
                    rows[0..<rows.rows, range], exact: exact.map { $0.part(rows: 0..<rows.rows, columns: range) },
                    on: workers)
            }
            if keepsOutput { Self.copy(rows, to: sample, width: hidden.columns) }
        }
        for (group, statistics) in zip(LayerGroup.all, statistics) {
            try statistics.finish("\(parameters.name).\(group.linears[0])", on: workers)
        }
        return statistics
    }

    /// Replaces what enters a layer by what leaves it.
    private func advance(
        _ layer: Int, _ parameters: LayerParameters, _ hidden: Matrix, progress: (Double) throws -> Void
    ) throws {
        guard let calibration else { return }
        let forward = try LayerForward(
            source.graph, layer: layer, parameters, taps: false, length: calibration.length, backend: backend)
        try forEachSample(hidden, progress) { sample in
            Self.copy(forward(UnsafeBufferPointer(sample)), to: sample, width: hidden.columns)
        }
    }

    private func forEachSample(
        _ hidden: Matrix, _ progress: (Double) throws -> Void, _ body: (UnsafeMutableBufferPointer<Float>) -> Void
    ) rethrows {
        guard let calibration else { return }
        let floats = calibration.length * hidden.columns
        for sample in 0..<calibration.samples {
            body(UnsafeMutableBufferPointer(start: hidden.base + sample * floats, count: floats))
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

    private func roundByGPTQ(
        _ parameters: LayerParameters, _ statistics: [InputStatistics], progress: (Double) throws -> Void
    ) throws -> [String: QuantizedMatrix] {
        let gptq = GPTQ(settings: settings, grid: grid, workers: workers)
        var matrices: [String: QuantizedMatrix] = [:]
        for (index, group) in LayerGroup.all.enumerated() {
            let name = "\(parameters.name).\(group.linears[0])"
            let factor = try gptq.factor(of: statistics[index], name: name)
            for linear in group.linears {
                matrices[linear] = try gptq.quantize(
                    parameters.weight(linear), factor, loss: statistics[index].loss,
                    name: "\(parameters.name).\(linear)")
            }
            try progress(Double(index + 1) / Double(LayerGroup.all.count))
        }
        return matrices
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

    /// Rounds to nearest, with the ranges that AWQ's second search finds.
    private func roundClipped(
        _ parameters: LayerParameters, _ statistics: [InputStatistics]
    ) throws -> [String: QuantizedMatrix] {
        let awq = AWQ(settings: settings, grid: grid, workers: workers)
        var matrices: [String: QuantizedMatrix] = [:]
        for (group, statistics) in zip(LayerGroup.all, statistics) {
            for linear in group.linears {
                let weight = try parameters.weight(linear)
                matrices[linear] = .rounded(
                    weight, groupSize: settings.groupSize, grid: grid,
                    ranges: awq.ranges(weight, statistics), on: workers)
            }
        }
        return matrices
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
