import Foundation
import MartletHub
import Testing

@testable import MartletCLI

@Suite struct ModelLookupTests {
    /// A folder that is gone when the test is over.
    final class Folder {
        let url = FileManager.default.temporaryDirectory.appending(path: "martlet-lookup-\(UUID().uuidString)")

        init(_ files: String...) throws {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            for file in files {
                let file = url.appending(path: file)
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data("x".utf8).write(to: file)
            }
        }

        deinit { try? FileManager.default.removeItem(at: url) }

        func path(_ name: String) -> String { url.appending(path: name).path }
    }

    func message(_ body: () throws -> String) -> String {
        do { return "no error, but " + (try body()) } catch { return String(describing: error) }
    }

    @Test func namesAreFoundWithAndWithoutSuffix() throws {
        let folder = try Folder("a.gguf", "b.Q4_0.gguf", "notes.txt")
        let lookup = ModelLookup(folders: [folder.url])
        #expect(try lookup.resolve("a") == folder.path("a.gguf"))
        #expect(try lookup.resolve("a.gguf") == folder.path("a.gguf"))
        #expect(try lookup.resolve("b.Q4_0") == folder.path("b.Q4_0.gguf"))
        #expect(lookup.find("notes.txt") == nil)
        #expect(lookup.find("b") == nil)
        #expect(lookup.find("") == nil)
    }

    @Test func pathsAreTakenAsTheyAre() throws {
        let folder = try Folder("a.gguf")
        let lookup = ModelLookup(folders: [])
        #expect(try lookup.resolve(folder.path("a.gguf")) == folder.path("a.gguf"))
        #expect(message { try lookup.resolve(folder.path("b.gguf")) }.hasPrefix("no model at "))
        #expect(message { try lookup.resolve(folder.url.path) }.contains("is a folder without config.json"))
    }

    @Test func foldersWithAConfigurationAreModels() throws {
        let folder = try Folder("a.gguf", "m/config.json", "other/notes.txt")
        let lookup = ModelLookup(folders: [folder.url])
        #expect(try lookup.resolve("m") == folder.path("m"))
        #expect(try ModelLookup(folders: []).resolve(folder.path("m")) == folder.path("m"))
        #expect(lookup.find("other") == nil)
        #expect(lookup.models().map(\.name) == ["a.gguf", "m"])
    }

    @Test func pulledModelsHaveTheirHubNames() throws {
        let folder = try Folder()
        for path in ["org/repo/config.json", "org/quants/m-Q4_K_M.gguf", "org/quants/m-Q8_0.gguf", "own/config.json"] {
            let url = folder.url.appending(path: path)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data("x".utf8).write(to: url)
        }
        let lookup = ModelLookup(folders: [folder.url])
        #expect(try lookup.resolve("org/repo") == folder.path("org/repo"))
        #expect(try lookup.resolve("org/quants:q8_0") == folder.path("org/quants/m-Q8_0.gguf"))
        #expect(try lookup.resolve("org/quants/m-Q4_K_M.gguf") == folder.path("org/quants/m-Q4_K_M.gguf"))
        #expect(try lookup.resolve("own") == folder.path("own"))
        #expect(lookup.find("org/quants") == nil && lookup.find("org") == nil)
        #expect(message { try lookup.resolve("org/other") }.contains("martlet pull org/other"))
        #expect(
            lookup.models().map(\.name) == [
                "own", "org/quants/m-Q4_K_M.gguf", "org/quants/m-Q8_0.gguf", "org/repo",
            ])
    }

    @Test func theFirstFolderWins() throws {
        let (first, second) = (try Folder("a.gguf"), try Folder("a.gguf", "z.gguf"))
        let lookup = ModelLookup(folders: [first.url, second.url])
        #expect(try lookup.resolve("a") == first.path("a.gguf"))
        #expect(lookup.models().map(\.name) == ["a.gguf", "z.gguf"])
    }

    @Test func theDefaultIsTheOnlyModelOrTheStandardOne() throws {
        let only = try Folder("only.gguf")
        #expect(try ModelLookup(folders: [only.url]).resolve(nil) == only.path("only.gguf"))
        let several = try Folder("a.gguf", ModelLookup.defaultName)
        #expect(try ModelLookup(folders: [several.url]).resolve(nil) == several.path(ModelLookup.defaultName))
        let unclear = try Folder("a.gguf", "b.gguf")
        #expect(message { try ModelLookup(folders: [unclear.url]).resolve(nil) }.contains("a.gguf, b.gguf"))
    }

    @Test func errorsSayWhereWasLookedAndWhatToDo() throws {
        let (first, second) = (try Folder(), try Folder())
        let lookup = ModelLookup(folders: [first.url, second.url])
        let absent = message { try lookup.resolve("absent") }
        #expect(absent == "no model 'absent' in \(first.url.path) or \(second.url.path)")
        #expect(message { try lookup.resolve(nil) }.contains("make model"))
    }

    @Test func foldersComeFromTheEnvironment() {
        let lookup = ModelLookup(environment: ["MARTLET_MODELS": "/m", "XDG_CACHE_HOME": "/c", "HOME": "/h"])
        #expect(lookup.folders.map(\.relativePath) == ["/m", "models", "/c/martlet/models"])
        // The XDG specification: relative paths are ignored.
        let relative = ModelLookup(environment: ["XDG_CACHE_HOME": "c", "HOME": "/h"])
        #expect(relative.folders.map(\.relativePath) == ["models", "/h/.cache/martlet/models"])
        #expect(ModelLookup(environment: [:]).folders.map(\.relativePath) == ["models"])
        // Downloads go where the user says, else to the cache; never to ./models.
        #expect(ModelLookup(environment: ["MARTLET_MODELS": "/m", "HOME": "/h"]).store?.root.path == "/m")
        #expect(ModelLookup(environment: ["HOME": "/h"]).store?.root.path == "/h/.cache/martlet/models")
        #expect(ModelLookup(environment: [:]).store == nil)
    }
}
