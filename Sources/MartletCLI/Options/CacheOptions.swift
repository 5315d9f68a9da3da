import ArgumentParser
import Martlet

/// How much memory keys and values get.
struct CacheSizeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Memory for keys and values, as in 512M or 2G.",
            discussion:
                "Default: what the longest contexts of all requests take, at most a quarter of the machine's memory.",
            valueName: "size"))
    var kvCacheMemory: ByteCount?
    @Option(help: "Tokens that the KV cache holds, in place of --kv-cache-memory.")
    var maxTokensInCache: Int?

    func validate() throws {
        if kvCacheMemory != nil && maxTokensInCache != nil {
            throw ValidationError("--kv-cache-memory and --max-tokens-in-cache exclude each other")
        }
        if let maxTokensInCache, !(64...1 << 30).contains(maxTokensInCache) {
            throw ValidationError("--max-tokens-in-cache must be 64 to \(1 << 30)")
        }
    }

    func apply(to options: inout LoadOptions) {
        options.kvCacheMemory = kvCacheMemory?.count
        options.kvCacheTokens = maxTokensInCache
    }
}

/// How requests get along with each other.
struct SharingOptions: ParsableArguments {
    @Flag(inversion: .prefixedNo, help: "Keep what was computed, and share it among prompts that begin alike.")
    var prefixCache = true
    @Option(help: "Milliseconds from token to token that prompts leave to others; 0 for no such bound.")
    var targetInterTokenLatency = 100

    func validate() throws {
        guard (0...3_600_000).contains(targetInterTokenLatency) else {
            throw ValidationError("--target-inter-token-latency must be 0 to 3600000")
        }
    }

    func apply(to options: inout EngineOptions) {
        options.cachesPrefixes = prefixCache
        options.targetInterTokenLatency =
            targetInterTokenLatency == 0 ? nil : .milliseconds(targetInterTokenLatency)
    }
}

/// A number of bytes: "1000", "512M", "1.5G", "2GiB". Units are binary.
struct ByteCount: ExpressibleByArgument {
    let count: Int

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let units = ["": 0, "B": 0, "K": 10, "M": 20, "G": 30, "T": 40]
        var unit = argument.dropFirst(digits.count).uppercased()
        if unit.count > 1 {
            if unit.hasSuffix("IB") { unit.removeLast(2) } else if unit.hasSuffix("B") { unit.removeLast() }
        }
        guard let shift = units[unit], let number = Double(digits), number > 0 else { return nil }
        let bytes = number * Double(1 << shift)
        guard bytes >= 1, bytes < 0x1p62 else { return nil }
        count = Int(bytes)
    }
}
