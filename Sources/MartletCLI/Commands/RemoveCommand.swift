import ArgumentParser
import Foundation
import MartletHub

struct RemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove models that were pulled.",
        discussion:
            "Only what 'martlet pull' has downloaded is removed; files that you put somewhere are yours to remove.")

    @Argument(help: "Names as 'martlet list' prints them.") var names: [String] = []
    @Flag(help: "Remove unfinished downloads.")
    var downloads = false

    func validate() throws {
        if names.isEmpty && !downloads { throw ValidationError("name a model, or say --downloads") }
    }

    func run() throws {
        guard let store = ModelLookup().store else { throw CommandFailure("no folder of models: set MARTLET_MODELS") }
        for name in names {
            let bytes = try store.remove(HubReference(name))
            Terminal.warn("removed \(name), \(Quantities.bytes(bytes))")
        }
        if downloads { Terminal.warn("removed unfinished downloads, \(Quantities.bytes(try store.removeDownloads()))") }
    }
}
