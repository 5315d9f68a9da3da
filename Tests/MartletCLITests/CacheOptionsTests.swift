import ArgumentParser
import Martlet
import Testing

@testable import MartletCLI

@Suite struct CacheOptionsTests {
    @Test(arguments: [
        ("1000", 1000), ("512M", 512 << 20), ("1.5G", 3 << 29), ("2GiB", 2 << 30), ("2gb", 2 << 30), ("7k", 7 << 10),
        ("3B", 3),
    ])
    func sizesAreRead(text: String, bytes: Int) {
        #expect(ByteCount(argument: text)?.count == bytes)
    }

    @Test(arguments: ["", "M", "-1", "1X", "1.2.3G", "0", "1e3", "99999999999T", "0.1", "IB", "1 G"])
    func othersAreRefused(text: String) {
        #expect(ByteCount(argument: text) == nil)
    }

    @Test func optionsReachTheEngine() throws {
        let limits = try EngineLimitOptions.parse([
            "--max-tokens-in-cache", "5000", "--no-prefix-cache", "--target-inter-token-latency", "0",
        ])
        #expect(limits.applied(to: LoadOptions()).kvCacheTokens == 5000)
        #expect(try !limits.engineOptions().cachesPrefixes)
        #expect(try limits.engineOptions().targetInterTokenLatency == nil)
        let defaults = try EngineLimitOptions.parse([])
        #expect(try defaults.engineOptions().cachesPrefixes)
        #expect(try defaults.engineOptions().targetInterTokenLatency == .milliseconds(100))
        #expect(
            try EngineLimitOptions.parse(["--kv-cache-memory", "64M"]).applied(to: .init()).kvCacheMemory == 64 << 20)
        #expect(throws: (any Error).self) {
            try EngineLimitOptions.parse(["--kv-cache-memory", "64M", "--max-tokens-in-cache", "5000"])
        }
    }
}
