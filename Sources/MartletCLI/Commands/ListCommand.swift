import ArgumentParser
import Foundation
import MartletHub

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Print the models that are here, by the names that find them.")

    @OptionGroup var output: JSONOption

    func run() throws {
        let lookup = ModelLookup()
        let models = lookup.models().map { Model(name: $0.name, path: $0.path, bytes: FileSize.total(of: $0.path)) }
        if output.json { return try JSONOutput.print(models) }
        var table = Table(.init("model"), .init("size", .right), .init("path"))
        for model in models {
            table.append(model.name.singleLine, Quantities.bytes(model.bytes), model.path.singleLine)
        }
        try StandardStream.output.write(table.markdown)
        if let bytes = lookup.store?.unfinishedBytes, bytes > 0 {
            Terminal.warn("unfinished downloads take \(Quantities.bytes(bytes)): 'martlet rm --downloads' removes them")
        }
    }

    private struct Model: Encodable {
        let name: String
        let path: String
        let bytes: Int
    }
}

/// Sizes on the disk.
enum FileSize {
    /// Bytes of a file, or of the files directly in a folder.
    static func total(of path: String) -> Int {
        let root = URL(fileURLWithPath: path).resolvingSymlinksInPath()
        let files = try? FileManager.default.contentsOfDirectory(at: root, includingPropertiesForKeys: [.fileSizeKey])
        return (files ?? [root]).reduce(0) { sum, file in
            let values = try? file.resolvingSymlinksInPath().resourceValues(forKeys: [.isRegularFileKey, .fileSizeKey])
            return sum + (values?.isRegularFile == true ? values?.fileSize ?? 0 : 0)
        }
    }
}
