import ArgumentParser

/// `--json`, where a command prints data.
struct JSONOption: ParsableArguments {
    @Flag(help: "Print JSON.")
    var json = false
}
