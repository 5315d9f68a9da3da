import ArgumentParser
import Foundation
import Yams

/// The options of `serve` from all places that they may be in. Each comes from where it is found first:
///
/// 1. the command line, `--port 80`
/// 2. the environment, `MARTLET_PORT=80`
/// 3. a file in YAML or JSON, `port: 80`, that `--config` or `MARTLET_CONFIG` names
/// 4. the default
///
/// An option that may be given several times is taken from one place as a whole. What is found in the environment and in the
/// file is added to the command line, so that it is parsed and checked in one way.
struct ServeSettings {
    /// The command line with what was found elsewhere.
    private(set) var arguments: [String]
    /// Where options were found that are not on the command line.
    private var sources: [(name: String, source: String)] = []
    /// What was found and not used.
    private(set) var warnings: [String] = []

    /// - Parameter arguments: of `serve`.
    /// - Throws: `ValidationError` for a file that can't be read, keys that no option has, and values that none takes.
    init(arguments: [String], environment: [String: String]) throws {
        self.arguments = arguments
        let options = try ServeOption.all()
        var (found, path) = Self.names(in: arguments, options)
        path = path ?? environment["MARTLET_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        var added: [String] = []
        for option in options where !found.contains(option.name) {
            let variable = "MARTLET_" + option.name.uppercased().replacing("-", with: "_")
            guard let value = environment[variable], !value.isEmpty else { continue }
            if option.name == "port", value.hasPrefix("tcp://") {
                // Kubernetes describes a Service called martlet to all containers beside it in this way.
                warnings.append(
                    "\(variable)=\(value) is ignored: it is the address of a Kubernetes Service, and no port")
                continue
            }
            let values = option.isRepeating ? value.split(whereSeparator: \.isWhitespace).map(String.init) : [value]
            added += try option.arguments(values, source: variable)
            sources.append((option.name, variable))
            found.insert(option.name)
        }
        if let path {
            for entry in try ConfigurationFile(path: path).entries {
                let source = "\(path), line \(entry.line)"
                guard let option = options.first(where: { $0.name == entry.key }) else {
                    throw ValidationError("\(source): no option is called '\(entry.key)'")
                }
                let isList = option.isRepeating || entry.values.count == 1
                guard isList else { throw ValidationError("\(source): '\(entry.key)' takes one value") }
                let arguments = try option.arguments(entry.values, source: source)
                guard found.insert(option.name).inserted else { continue }
                added += arguments
                sources.append((option.name, source))
            }
        }
        // What stands behind `--` is no option.
        self.arguments.insert(
            contentsOf: added, at: arguments.firstIndex(of: Self.terminator) ?? arguments.endIndex)
    }

    /// Where the option was found that a message is about; nil for the command line.
    func source(of message: String) -> String? {
        sources.first { message.contains("--" + $0.name + " ") || message.contains("--" + $0.name + "'") }?.source
    }

    private static let terminator = "--"

    /// The options that the arguments name, and the file.
    private static func names(in arguments: [String], _ options: [ServeOption]) -> (Set<String>, file: String?) {
        var found: Set<String> = []
        var file: String?
        var index = 0
        while index < arguments.count {
            defer { index += 1 }
            let argument = arguments[index]
            if argument == terminator {
                if index + 1 < arguments.count { found.insert(ServeOption.model.name) }
                break
            }
            guard argument.hasPrefix("--") else {
                if !argument.hasPrefix("-") { found.insert(ServeOption.model.name) }
                continue
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            var value = parts.count == 2 ? String(parts[1]) : nil
            let option = options.first { $0.name == name || $0.inverse == name }
            if value == nil, option?.kind == .option || name == "config", index + 1 < arguments.count {
                index += 1
                value = arguments[index]
            }
            if name == "config" { file = value }
            if let option { found.insert(option.name) }
        }
        return (found, file)
    }
}

/// What `serve` can be told.
struct ServeOption {
    enum Kind: String, Decodable { case positional, option, flag }

    /// Without dashes in front.
    var name: String
    var kind: Kind
    var isRepeating = false
    /// The flag that says the opposite.
    var inverse: String?

    static let model = ServeOption(name: "model", kind: .positional)

    /// Every option of the command but those that are about this command line alone.
    static func all() throws -> [ServeOption] {
        struct Description: Decodable {
            struct Command: Decodable { var arguments: [Argument] }
            struct Argument: Decodable {
                struct Name: Decodable { var kind: String, name: String }
                var kind: Kind, isRepeating: Bool, names: [Name]?
            }
            var command: Command
        }
        let description = try JSONDecoder().decode(Description.self, from: Data(ServeCommand._dumpHelp().utf8))
        var options = [model]
        for argument in description.command.arguments {
            guard let name = argument.names?.first(where: { $0.kind == "long" })?.name,
                !["help", "version", "config"].contains(name)
            else { continue }
            options.append(ServeOption(name: name, kind: argument.kind, isRepeating: argument.isRepeating))
        }
        // `--prefix-cache` and `--no-prefix-cache` are one.
        for index in options.indices where options.contains(where: { $0.name == "no-" + options[index].name }) {
            options[index].inverse = "no-" + options[index].name
        }
        let inverses = Set(options.compactMap(\.inverse))
        return options.filter { !inverses.contains($0.name) }
    }

    /// As the command line has it.
    ///
    /// - Throws: `ValidationError` where a flag is neither true nor false.
    func arguments(_ values: [String], source: String) throws -> [String] {
        switch kind {
        case .positional: return values
        case .option: return values.map { "--\(name)=\($0)" }
        case .flag:
            switch values.first?.lowercased() {
            case "true", "1": return ["--" + name]
            case "false", "0": return inverse.map { ["--" + $0] } ?? []
            default: throw ValidationError("\(source): '\(name)' must be true or false")
            }
        }
    }
}

/// A flat mapping in YAML, of which JSON is a part.
struct ConfigurationFile {
    struct Entry {
        var key: String
        var values: [String]
        var line: Int
    }

    private(set) var entries: [Entry] = []

    private static let sizeLimit = 1 << 20

    /// - Throws: `ValidationError` that says what is wrong, and where.
    init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ValidationError("\(path): the file can't be read")
        }
        guard data.count <= Self.sizeLimit, let text = String(validating: data, as: UTF8.self) else {
            throw ValidationError("\(path): not a text of at most \(Self.sizeLimit) bytes")
        }
        let node: Node?
        do {
            node = try compose(yaml: text)
        } catch {
            throw ValidationError("\(path): \("\(error)".singleLine)")
        }
        // A file of comments says nothing.
        guard let node, node.null == nil else { return }
        guard let mapping = node.mapping else { throw ValidationError("\(path): not a mapping of options to values") }
        for (key, value) in mapping {
            let line = key.mark?.line ?? 1
            guard let name = key.string else { throw ValidationError("\(path), line \(line): a key is no text") }
            let values: [String]?
            if let sequence = value.sequence {
                let texts = sequence.compactMap(Self.scalar)
                values = texts.count == sequence.count ? texts : nil
            } else {
                values = Self.scalar(value).map { [$0] }
            }
            guard let values, !values.isEmpty else {
                throw ValidationError("\(path), line \(line): '\(name)' must have a value, or a list of values")
            }
            entries.append(Entry(key: name, values: values, line: line))
        }
    }

    /// As it is written; nil for what is no plain value.
    private static func scalar(_ node: Node) -> String? {
        guard let scalar = node.scalar, node.null == nil else { return nil }
        return scalar.string
    }
}
