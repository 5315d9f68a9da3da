import ArgumentParser
import Foundation
import MartletHub

struct PullCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Download a model from Hugging Face.",
        discussion: """
            NAME is org/repo for a checkpoint (configuration, tokenizer, safetensors), org/repo/file.gguf for one GGUF file, \
            or org/repo:Q4_K_M for the GGUF file of that quantization; @revision behind it names a branch, tag or commit. \
            The model is known by the same name afterwards. The address of a repository's page, or of a file in it, is a \
            name too.

            Models are kept in $MARTLET_MODELS or ${XDG_CACHE_HOME:-~/.cache}/martlet/models. HF_ENDPOINT names another \
            server, HF_TOKEN a token for private and gated models, which is sent to that server only. A download that was \
            stopped goes on where it was; every file is compared with the hash that the repository lists.

            A proxy is taken from HTTPS_PROXY (https_proxy), or from http_proxy for http addresses; NO_PROXY (no_proxy) lists \
            hosts and domains that are reached without it.
            """)

    @Argument(help: "The model's name on the hub.") var name: String
    @Option(help: "Connections at the same time.")
    var connections = 8
    @OptionGroup var output: JSONOption

    func validate() throws {
        guard (1...64).contains(connections) else { throw ValidationError("--connections must be between 1 and 64") }
    }

    func run() async throws {
        var hub = try HubConfiguration(environment: ProcessInfo.processInfo.environment)
        hub.connections = connections
        let reference = try HubReference(name, endpoint: hub.endpoint)
        guard let store = ModelLookup().store else {
            throw CommandFailure("nowhere to keep models: set MARTLET_MODELS to a folder")
        }
        let bar = ProgressBar("downloading")
        defer { bar.finish() }
        hub.onRetry = { bar.note($0.singleLine) }
        let result = try await ModelPull.run(reference, into: store, configuration: hub) { completed, total, file in
            let note = "\(Quantities.bytes(completed)) of \(Quantities.bytes(total))  \(file.singleLine)"
            bar.update(Double(completed) / Double(max(total, 1)), note: note)
        }
        bar.finish()
        if output.json {
            try JSONOutput.print(
                Document(
                    name: reference.description, path: result.path, commit: result.commit, bytes: result.bytes,
                    downloaded: result.downloaded))
        } else {
            let news = result.downloaded == 0 ? "already here" : "\(Quantities.bytes(result.downloaded)) downloaded"
            Terminal.warn("\(reference), \(Quantities.bytes(result.bytes)): \(news)")
            try StandardStream.output.write(result.path + "\n")
        }
    }

    private struct Document: Encodable {
        let name: String
        let path: String
        let commit: String
        /// Of the whole model, and of what was not there before.
        let bytes: Int
        let downloaded: Int
    }
}
