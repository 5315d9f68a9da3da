import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints
import MartletQuantization
import MartletTokenizers

extension QuantizationSettings.Method: ExpressibleByArgument {}
extension QuantizationSettings.Rounding: ExpressibleByArgument {}
extension QuantizedFormat: ExpressibleByArgument {}

struct QuantizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantize",
        abstract: "Make a smaller model of 4- or 8-bit weights.",
        discussion: """
            SRC is a Hugging Face folder of a dense Llama, Mistral, Qwen2 or Qwen3 model in safetensors. DST becomes a folder \
            that vLLM, transformers and Martlet load. The linear layers of the decoder are quantized; embeddings, norms and \
            the output projection stay in 16 bits.

            rtn rounds to nearest and needs no text; awq (4 bits) scales what matters up before it rounds; gptq makes up for \
            what rounding loses, and awq does so as well; smoothquant (8 bits) makes weights and activations fit into 8 bits. They read a calibration \
            text of the kind that the model is meant for. Layers are finished one by one in DST.partial: the same command \
            goes on where it was stopped.
            """)

    @Argument(help: "A Hugging Face folder.", completion: .directory) var source: String
    @Argument(help: "The folder to make.", completion: .directory) var destination: String
    @Option(help: "rtn, awq, gptq or smoothquant.") var method: QuantizationSettings.Method
    @Option(help: "rtn: the format to write, awq, gptq, pack-quantized or int-quantized. Default: pack-quantized.")
    var format: QuantizedFormat?
    @Option(help: "4 or 8. Default: 8 for smoothquant, else 4.") var bits: Int?
    @Option(
        help: "Input columns that share a scale: 32, 64, 128, or -1 for whole rows. Default: 128, or -1 with 8 bits.")
    var groupSize: Int?
    @Flag(
        inversion: .prefixedNo,
        help: "No zero points. Default: yes for gptq and with 8 bits, else no.")
    var symmetric: Bool?
    @Option(help: "The calibration text, or - for standard input.", completion: .file())
    var calibration: String?
    @Option(help: "Samples of the calibration text. Default: 128, or as many as there are.")
    var samples: Int?
    @Option(help: "Tokens of a sample.")
    var length = 512
    @Option(
        help: """
            awq: how codes are chosen once columns are scaled: nearest, as in the paper, or compensated, as gptq does. \
            Default: compensated.
            """)
    var rounding: QuantizationSettings.Rounding?
    @Option(help: "gptq and awq: damping, as a share of the mean of the Hessian's diagonal.")
    var damp = 0.01
    @Option(help: "gptq and awq: the share of what earlier layers have lost that a layer makes up for, 0 to 1.")
    var correction = 0.5
    @Flag(help: "gptq: quantize columns in the order of their activations' size (act-order).")
    var descAct = false
    @Option(help: "smoothquant: the share of the activations' range that moves into the weights, 0 to 1.")
    var alpha = 0.5
    @Option(help: "Megabytes of a weights file from which on there are several.")
    var shardSize = 5000
    @OptionGroup var workers: ThreadsOption
    @OptionGroup var output: JSONOption

    func validate() throws {
        if let samples, !(1...1 << 20).contains(samples) { throw ValidationError("--samples must be at least 1") }
        guard (1...1 << 20).contains(length) else { throw ValidationError("--length must be at least 1") }
        guard (0...1).contains(damp) else { throw ValidationError("--damp must be between 0 and 1") }
        guard (0...1).contains(correction) else { throw ValidationError("--correction must be between 0 and 1") }
        guard (0...1).contains(alpha) else { throw ValidationError("--alpha must be between 0 and 1") }
        guard (1...1 << 30).contains(shardSize) else { throw ValidationError("--shard-size must be at least 1") }
        if method != .awq, rounding != nil { throw ValidationError("--rounding belongs to --method awq") }
        if method != .gptq, descAct { throw ValidationError("--desc-act belongs to --method gptq") }
        if method != .rtn, calibration == nil {
            throw ValidationError("--method \(method.rawValue) needs --calibration FILE")
        }
        _ = try settings()
    }

    private func settings() throws -> QuantizationSettings {
        do {
            var settings = try QuantizationSettings(
                method, format: format, bits: bits, groupSize: groupSize, isSymmetric: symmetric)
            settings.damping = damp
            settings.actOrder = descAct
            settings.correction = correction
            settings.alpha = alpha
            settings.rounding = rounding ?? settings.rounding
            settings.shardBytes = shardSize * 1_000_000
            return settings
        } catch {
            throw ValidationError(error.description)
        }
    }

    func run() throws {
        let path = try ModelLookup().resolve(source)
        let settings = try settings()
        let start = ContinuousClock.now
        let quantizer = try Quantizer(
            source: path, destination: destination, settings: settings,
            calibration: settings.needsCalibration ? try calibrationText(path) : nil,
            threads: workers.threads ?? ProcessInfo.processInfo.activeProcessorCount,
            instructionSet: ProcessInfo.processInfo.environment["MARTLET_ISA"])
        let bar = ProgressBar("quantizing")
        defer { bar.finish() }
        let summary = try quantizer.run { fraction, note in bar.update(fraction, note: note) }
        bar.finish()
        try report(summary, from: path, seconds: (ContinuousClock.now - start).seconds)
    }

    private func calibrationText(_ path: String) throws -> CalibrationText {
        let tokens = try Tokenizer(Checkpoint(path: path)).encode(bytes: InputFile.read(calibration ?? "-"))
        return try CalibrationText(tokens, samples: samples, length: length)
    }

    private func report(_ summary: Quantizer.Summary, from path: String, seconds: Double) throws {
        func bytes(_ path: String) throws -> Int { try ModelSummary(Checkpoint(path: path)).bytes }
        let report = Report(
            destination: destination, method: method.rawValue, layers: summary.layers,
            reusedLayers: summary.reusedLayers, sourceBytes: try bytes(path), bytes: try bytes(destination),
            relativeError: summary.relativeError, seconds: seconds)
        if output.json { return try JSONOutput.print(report) }
        var text = "\(destination): \(Quantities.bytes(report.bytes)), was \(Quantities.bytes(report.sourceBytes))\n"
        text += "\(summary.layers) layers in \(String(format: "%.1f", seconds)) s"
        if summary.reusedLayers > 0 { text += ", \(summary.reusedLayers) of them from before" }
        if let error = summary.relativeError {
            text += String(format: "; squared error of the weights %.3f %%", 100 * error)
        }
        try StandardStream.output.write(text + "\n")
    }

    private struct Report: Encodable {
        let destination: String
        let method: String
        let layers: Int
        let reusedLayers: Int
        let sourceBytes: Int
        let bytes: Int
        let relativeError: Double?
        let seconds: Double
    }
}
