import ArgumentParser
import Martlet
import MartletCheckpoints
import MartletGraph

struct ShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print what a model is, what it needs, and how a step runs.",
        discussion: """
            With --plan: the kernel calls of one decoded token with the bytes that each reads and writes, and what every \
            graph fusion saves.
            """)

    @OptionGroup var source: OptionalModelArgument
    @Flag(help: "Print the plan and its memory traffic.")
    var plan = false
    @Option(
        help: "Tokens of context for the memory estimate and the plan. Default: the model's own limit, at most 4096.")
    var context: Int?
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var output: JSONOption

    func validate() throws {
        if let context, context < 1 { throw ValidationError("--context must be at least 1") }
    }

    func run() throws {
        let path = try source.path()
        let checkpoint = try Checkpoint(path: path)
        let configuration = checkpoint.configuration
        let context = context ?? min(configuration.maxPositionEmbeddings, 4096)
        guard context <= configuration.maxPositionEmbeddings else {
            throw CommandFailure(
                "--context \(context) is more than the model's context of \(configuration.maxPositionEmbeddings)")
        }
        // One request's cache; of a large one only addresses are taken until it is used.
        var options = compute.loadOptions
        options.contextLength = context
        options.maxRequests = 1
        options.kvCacheMemory = .max
        let model = try ModelLoading.load(path, options)
        let description = try ModelDescription(checkpoint, model, path: path, context: context)
        let report =
            plan
            ? PlanReport(context: context, layerCount: configuration.layerCount, plan: model.outline.plan) : nil
        if output.json {
            try JSONOutput.print(Document(model: description, plan: report))
        } else {
            try StandardStream.output.write(description.text + (report?.text ?? ""))
        }
    }

    private struct Document: Encodable {
        let model: ModelDescription
        let plan: PlanReport?
    }
}
