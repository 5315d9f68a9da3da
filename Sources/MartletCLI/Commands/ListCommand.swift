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
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return 0 }
        guard isFolder.boolValue else { return bytes(ofFile: path) }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.reduce(0) { $0 + bytes(ofFile: path + "/" + $1) }
    }

    /// Bytes of a regular file, behind symbolic links as well; 0 for anything else.
    private static func bytes(ofFile path: String) -> Int {
        let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: target),
            attributes[.type] as? FileAttributeType == .typeRegular
        else { return 0 }
        return (attributes[.size] as? NSNumber)?.intValue ?? 0
    }
}
