import ArgumentParser
import Foundation
import Martlet

/// How an engine shares its model among requests.
struct EngineLimitOptions: ParsableArguments {
    @Option(help: "Requests that run at the same time.")
    var maxRequests = 16
    @Option(help: "Tokens of all requests together in one step.")
    var maxBatchedTokens = 512
    @Option(help: "Longest context in tokens, prompt and answer together. Default: the model's own limit.")
    var context: Int?
    @OptionGroup var cacheSize: CacheSizeOptions
    @OptionGroup var sharing: SharingOptions
    @OptionGroup var speculation: SpeculationOptions

    func validate() throws {
        guard (1...1024).contains(maxRequests) else { throw ValidationError("--max-requests must be 1 to 1024") }
        guard (1...65_536).contains(maxBatchedTokens), maxBatchedTokens >= maxRequests else {
            throw ValidationError("--max-batched-tokens must be 1 to 65536, and not below --max-requests")
        }
        if let context, context < 1 { throw ValidationError("--context must be at least 1") }
    }

    func applied(to options: LoadOptions) -> LoadOptions {
        var options = options
        options.maxRequests = maxRequests
        options.maxBatchedTokens = maxBatchedTokens
        options.contextLength = context
        cacheSize.apply(to: &options)
        return options
    }

    /// - Throws: `CommandFailure` where there is no such draft model.
    func engineOptions() throws -> EngineOptions {
        var options = EngineOptions()
        sharing.apply(to: &options)
        try speculation.apply(to: &options)
        return options
    }
}

/// The names that requests call the model by.
struct ServedModelNameOption: ParsableArguments {
    @Option(
        name: .customLong("served-model-name"),
        help: "A name that requests may call the model by; may be given several times. Default: its file's name.")
    var names: [String] = []

    func names(of path: String) -> [String] {
        let file = URL(filePath: path)
        let own = [file.deletingPathExtension().lastPathComponent, file.lastPathComponent]
        return names.isEmpty ? own : names
    }
}
