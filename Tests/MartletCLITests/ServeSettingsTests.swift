import ArgumentParser
import Foundation
import Martlet
import TestSupport
import Testing

@testable import MartletCLI

/// Options of `serve` from the command line, the environment and a file.
struct ServeSettingsTests {
    private static func serve(
        _ arguments: [String], _ environment: [String: String] = [:], file: String? = nil
    ) throws -> ServeCommand {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        var arguments = arguments
        if let file {
            let url = folder.url.appending(path: "martlet.yaml")
            try file.write(to: url, atomically: true, encoding: .utf8)
            arguments += ["--config", url.path]
        }
        let command = try MartletCommand.command(for: ["serve"] + arguments, environment: environment)
        return try #require(command as? ServeCommand)
    }

    private static func failure(
        _ arguments: [String], _ environment: [String: String] = [:], file: String? = nil
    ) -> String {
        do {
            _ = try serve(arguments, environment, file: file)
            return ""
        } catch {
            return MartletCommand.message(for: error)
        }
    }

    /// The command line, then the environment, then the file, then the default.
    @Test func theFirstPlaceCounts() throws {
        let file = "port: 3\n"
        let environment = ["MARTLET_PORT": "2"]
        #expect(try Self.serve(["--port", "1"], environment, file: file).port == 1)
        #expect(try Self.serve(["--port=1"], environment, file: file).port == 1)
        #expect(try Self.serve([], environment, file: file).port == 2)
        #expect(try Self.serve([], [:], file: file).port == 3)
        #expect(try Self.serve([], ["MARTLET_PORT": ""]).port == 8080)
    }

    /// What Kubernetes says of a Service called martlet.
    @Test func aServicesAddressIsNoPort() throws {
        let environment = ["MARTLET_PORT": "tcp://10.0.0.7:8080"]
        #expect(try Self.serve([], environment).port == 8080)
        #expect(try Self.serve([], environment, file: "port: 3\n").port == 3)
        let warnings = try ServeSettings(arguments: [], environment: environment).warnings
        #expect(warnings.count == 1 && warnings[0].hasPrefix("MARTLET_PORT=tcp://10.0.0.7:8080 is ignored"))
        #expect(Self.failure([], ["MARTLET_PORT": "http://x"]).contains("MARTLET_PORT"))
    }

    /// What stands behind `--` is the model, whatever else is found elsewhere.
    @Test func optionsStandBeforeTheTerminator() throws {
        let command = try Self.serve(
            ["--host", "::1", "--", "some.gguf"],
            ["MARTLET_PORT": "2", "MARTLET_STRICT": "1", "MARTLET_MODEL": "other"])
        #expect(command.port == 2 && command.strict && command.host == "::1" && command.source.model == "some.gguf")
        #expect(try Self.serve(["--"], ["MARTLET_MODEL": "other"]).source.model == "other")
    }

    @Test(arguments: [
        ("*", "needs --api-key"), ("https://x.example/", "scheme://host"), ("x.example", "scheme://host"),
        ("https://", "scheme://host"), ("https://a@b", "scheme://host"), ("null", "scheme://host"),
    ]) func whatIsNoOriginIsRefused(_ origin: String, _ reason: String) {
        #expect(Self.failure(["--cors-origin", origin]).contains(reason))
    }

    @Test func originsAreTaken() throws {
        let origins = ["https://x.example", "http://localhost:3000", "http://[::1]:80", "tauri://localhost"]
        #expect(try Self.serve(origins.flatMap { ["--cors-origin", $0] }).corsOrigin == origins)
        #expect(try Self.serve(["--cors-origin", "*", "--api-key", "k"]).corsOrigin == ["*"])
        #expect(try Self.serve(["--cors-origin", "*", "--api-key-file", "k"]).corsOrigin == ["*"])
    }

    @Test func boundsOfTheServerAreOptions() throws {
        let command = try Self.serve([
            "--max-connections", "5", "--read-timeout", "2.5", "--max-queued-tokens", "100", "--max-body-memory", "16",
        ])
        #expect(command.maxConnections == 5 && command.readTimeout == 2.5 && command.maxQueuedTokens == 100)
        #expect(command.maxBodyMemory == 16)
        #expect(try Self.serve(["--max-body", "512"]).maxBodyMemory == nil)
        for (option, value) in [
            ("max-connections", "0"), ("read-timeout", "0"), ("max-queued-tokens", "0"), ("max-body-memory", "15"),
        ] {
            #expect(Self.failure(["--\(option)", value]).contains("--\(option) must be"))
        }
    }

    @Test func keysComeFromAFile() throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.url.appending(path: "keys").path
        func write(_ text: String, _ mode: Int) throws {
            try Data(text.utf8).write(to: URL(filePath: path))
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        try write("# Keys of the office.\n  one \r\n\n#two\nthree\n", 0o600)
        #expect(try KeyFile(path: path).keys == ["one", "three"])
        #expect(try !KeyFile(path: path).isOpen)
        try write("one", 0o644)
        #expect(try KeyFile(path: path).isOpen)
        func failure() -> String {
            do {
                return "\(try KeyFile(path: path).keys)"
            } catch {
                return MartletCommand.message(for: error)
            }
        }
        try write("# nothing\n", 0o600)
        #expect(failure() == "\(path) has no keys")
        try FileManager.default.removeItem(atPath: path)
        #expect(failure() == "\(path): the file can't be read")
    }

    @Test func everythingCanBeInAFile() throws {
        let command = try Self.serve(
            [],
            file: """
                # How this machine serves.
                model: some.gguf
                host: "::1"
                port: 80
                api-key: [one, two]
                cors-origin:
                  - https://a.example
                  - https://b.example
                strict: true
                verbose: false
                prefix-cache: false
                kv-cache-memory: 2G
                request-timeout: 1.5
                max-stop-strings: 4
                pooling: last
                metrics-compat: vllm
                """)
        #expect(command.source.model == "some.gguf")
        #expect(command.host == "::1" && command.port == 80)
        #expect(command.apiKey == ["one", "two"])
        #expect(command.corsOrigin == ["https://a.example", "https://b.example"])
        #expect(command.strict && !command.verbose)
        #expect(!command.limits.sharing.prefixCache)
        #expect(command.limits.cacheSize.kvCacheMemory?.count == 2 << 30)
        #expect(command.requestTimeout == 1.5)
        #expect(command.requestLimits.maxStopStrings == 4)
        #expect(command.pooling == .last && command.metricsCompat == .vllm)
        let json = try Self.serve([], file: #"{"port": 81, "api-key": ["three"], "strict": true}"#)
        #expect(json.port == 81 && json.apiKey == ["three"] && json.strict)
        #expect(try Self.serve([], file: "# nothing\n").port == 8080)
    }

    /// A list comes from one place as a whole, and what is on the command line keeps its opposite out.
    @Test func placesAreNotMixed() throws {
        let environment = [
            "MARTLET_API_KEY": "two three", "MARTLET_PREFIX_CACHE": "true", "MARTLET_MODEL": "b.gguf",
            "MARTLET_STRICT": "1",
        ]
        let file = "api-key: four\nprefix-cache: true\nmodel: c.gguf\n"
        let command = try Self.serve(["a.gguf", "--api-key", "one", "--no-prefix-cache"], environment, file: file)
        #expect(command.apiKey == ["one"] && command.source.model == "a.gguf")
        #expect(!command.limits.sharing.prefixCache && command.strict)
        let other = try Self.serve(["--host", "c.gguf"], environment, file: file)
        #expect(other.apiKey == ["two", "three"] && other.source.model == "b.gguf", "a value is no MODEL")
    }

    @Test func theEnvironmentNamesAFile() throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let url = folder.url.appending(path: "server.json")
        try #"{"port": 5}"#.write(to: url, atomically: true, encoding: .utf8)
        #expect(try Self.serve([], ["MARTLET_CONFIG": url.path]).port == 5)
        #expect(Self.failure([], ["MARTLET_CONFIG": "/nowhere.yaml"]).contains("/nowhere.yaml"))
    }

    @Test func whatIsWrongIsNamedWithItsPlace() {
        for (file, parts) in [
            ("port: 80\nprot: 81\n", ["'prot'", "line 2"]), ("max_body: 3", ["'max_body'"]),
            ("config: other.yaml", ["'config'"]), ("help: true", ["'help'"]),
            ("port: [1, 2]", ["'port'", "one value"]), ("port:", ["'port'", "value"]), ("port: {a: 1}", ["'port'"]),
            ("strict: maybe", ["'strict'", "true or false"]), ("- port", ["mapping"]), ("port: 1\nport: 2", ["port"]),
            ("a: [", ["martlet.yaml"]), ("port: many", ["many", "martlet.yaml, line 1"]),
            ("host: a\nport: 70000", ["--port must be", "martlet.yaml, line 2"]),
        ] {
            let message = Self.failure([], file: file)
            for part in parts { #expect(message.contains(part), "\(file): \(message)") }
        }
        #expect(Self.failure([], ["MARTLET_PORT": "x"]).contains("MARTLET_PORT"))
        #expect(Self.failure([], ["MARTLET_MAX_HEADER": "0"]).contains("(MARTLET_MAX_HEADER)"))
        #expect(Self.failure(["--port", "x"], ["MARTLET_HOST": "a"]).contains("MARTLET") == false)
    }

    /// No option is left out, whatever is added later: each can be in the environment and in the file.
    @Test func everyOptionHasAPlace() throws {
        let options = try ServeOption.all()
        #expect(options.count > 40)
        for name in ["model", "port", "api-key-file", "prefix-cache", "max-json-depth", "threads", "speculative"] {
            #expect(options.contains { $0.name == name }, "\(name)")
        }
        for option in options {
            let value = option.kind == .flag ? "true" : "7"
            let variable = "MARTLET_" + option.name.uppercased().replacing("-", with: "_")
            let expected =
                option.kind == .positional ? "7" : option.kind == .flag ? "--\(option.name)" : "--\(option.name)=7"
            #expect(try ServeSettings(arguments: [], environment: [variable: value]).arguments == [expected])
        }
        // What is about other commands is not for this one.
        #expect(
            try ServeSettings(arguments: [], environment: ["MARTLET_MODELS": "/a", "MARTLET_ISA": "avx2"]).arguments
                == [])
    }
}
