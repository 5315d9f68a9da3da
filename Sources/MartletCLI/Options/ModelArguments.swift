import ArgumentParser

/// What every command says about its MODEL.
enum ModelHelp {
    static let required: ArgumentHelp = "A .gguf file, a folder with config.json, or the name of a model."

    static let optional = ArgumentHelp(
        "A .gguf file, a folder with config.json, or the name of a model.",
        discussion: """
            Names are looked up, with and without .gguf, in $MARTLET_MODELS, ./models and \
            ${XDG_CACHE_HOME:-~/.cache}/martlet/models; models that were pulled have the hub's names (org/repo). Without \
            MODEL the only model there is taken, or \(ModelLookup.defaultName).
            """)
}

/// MODEL where it may be left out.
struct OptionalModelArgument: ParsableArguments {
    @Argument(help: ModelHelp.optional) var model: String?

    func path() throws -> String { try ModelLookup().resolve(model) }
}

/// MODEL where it must be given.
struct RequiredModelArgument: ParsableArguments {
    @Argument(help: ModelHelp.required) var model: String

    func path() throws -> String { try ModelLookup().resolve(model) }
}
