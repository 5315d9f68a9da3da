import Foundation
import TestSupport
import Testing

@testable import MartletCLI

@Suite struct RequestTraceTests {
    private static func trace(seed: UInt64, count: Int = 200, sharedPrefix: Int = 0) -> RequestTrace {
        .synthetic(
            count: count, input: 5...20, output: 1...7, sharedPrefix: sharedPrefix, tokens: 100..<200, seed: seed)
    }

    @Test func aSeedMakesATrace() {
        let trace = Self.trace(seed: 1)
        #expect(trace == Self.trace(seed: 1))
        #expect(trace != Self.trace(seed: 2))
        #expect(trace.requests.count == 200)
        #expect(Set(trace.requests.map(\.prompt.count)) == Set(5...20))
        #expect(Set(trace.requests.map(\.outputTokens)) == Set(1...7))
        #expect(trace.requests.allSatisfy { $0.arrival == 0 && $0.prompt.allSatisfy((100..<200).contains) })
    }

    @Test func aSharedPrefixComesOnTop() {
        let requests = Self.trace(seed: 1, sharedPrefix: 30).requests
        #expect(Set(requests.map { $0.prompt.prefix(30) }).count == 1)
        #expect(requests.allSatisfy { (35...50).contains($0.prompt.count) })
        #expect(Set(requests.map { $0.prompt.dropFirst(30) }).count > 190)
    }

    @Test func arrivalsAreAPoissonProcess() {
        let arrivals = Self.trace(seed: 1, count: 20_000).poisson(rate: 4, seed: 3).requests.map(\.arrival)
        #expect(abs((arrivals.last ?? 0) - 5000) < 1e-6)
        let gaps = zip(arrivals, [0] + arrivals).map { $0 - $1 }
        #expect(gaps.allSatisfy { $0 >= 0 })
        // Exponential: the standard deviation equals the mean, and a fraction exp(-1) of the gaps is above it.
        let variance = gaps.map { ($0 - 0.25) * ($0 - 0.25) }.reduce(0, +) / 20_000
        #expect(abs(variance.squareRoot() - 0.25) < 0.01)
        #expect(abs(Double(gaps.count { $0 > 0.25 }) / 20_000 - exp(-1)) < 0.02)
    }

    private static func read(_ text: String) throws -> RequestTrace {
        let url = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString).jsonl")
        defer { try? FileManager.default.removeItem(at: url) }
        try Data(text.utf8).write(to: url)
        return try RequestTrace(path: url.path, tokens: 100..<1000, seed: 0)
    }

    @Test func filesSayWhatComesWhen() throws {
        let trace = try Self.read(
            """
            {"timestamp": 1500, "input_length": 600, "output_length": 3, "hash_ids": [7, 8]}
            {"timestamp": 0, "input_length": 1000, "output_length": 4, "hash_ids": [7, 9]}
            {"input_length": 600, "output_length": 5}

            """)
        let requests = trace.requests
        #expect(requests.map(\.arrival) == [0, 0, 1.5])
        #expect(requests.map(\.prompt.count) == [1000, 600, 600])
        #expect(requests.map(\.outputTokens) == [4, 5, 3])
        #expect(requests[0].prompt[..<512] == requests[2].prompt[..<512])
        #expect(requests[0].prompt[512..<600] != requests[2].prompt[512..<600])
        #expect(requests[1].prompt[..<512] != requests[2].prompt[..<512])
    }

    @Test(arguments: [
        "", "x", "{}", #"{"input_length": 0, "output_length": 1}"#, #"{"input_length": 1, "output_length": -1}"#,
        #"{"input_length": 9e18, "output_length": 1}"#, #"{"input_length": 1, "output_length": 1, "timestamp": NaN}"#,
        #"{"input_length": 1, "output_length": 1, "timestamp": -5}"#,
    ]) func badFilesAreRefused(text: String) {
        #expect(throws: CommandFailure.self) { try Self.read(text) }
    }

    @Test func percentilesAreNumPys() throws {
        // numpy.percentile([4, 1, 3, 2], [50, 90, 99])
        let percentiles = try #require(Percentiles([4, 1, 3, 2]))
        #expect(percentiles.mean == 2.5)
        #expect(percentiles.p50 == 2.5)
        #expect(abs(percentiles.p90 - 3.7) < 1e-12)
        #expect(abs(percentiles.p99 - 3.97) < 1e-12)
        #expect(Percentiles([]) == nil)
        #expect(Percentiles([7])?.p99 == 7)
    }

    @Test func objectivesAreKeptOrNot() throws {
        let objectives = try #require(ServiceObjectives(argument: "ttft:500,tpot:50"))
        func sample(_ first: Double, _ total: Double, _ tokens: Int) -> RequestBench.Sample {
            .init(firstToken: first, gaps: [], total: total, tokens: tokens)
        }
        #expect(objectives.areMet(by: sample(0.5, 0.5, 1)))
        #expect(objectives.areMet(by: sample(0.4, 0.9, 11)))
        #expect(!objectives.areMet(by: sample(0.4, 1.0, 11)))
        #expect(!objectives.areMet(by: sample(0.6, 0.7, 11)))
        for argument in ["", "ttft", "ttft:", "ttft:-1", "ttft:nan", "x:1", "ttft:1,"] {
            #expect(ServiceObjectives(argument: argument) == nil)
        }
        #expect(LengthRange(argument: "3-9")?.values == 3...9)
        #expect(LengthRange(argument: "4")?.values == 4...4)
        for argument in ["", "0", "9-3", "1-2-3", "a", "-5", "1-99999999999"] {
            #expect(LengthRange(argument: argument) == nil)
        }
    }
}

/// `martlet bench --requests` with the real model.
@Suite(
    .enabled(if: CommandLineProgram.executable != nil, "the martlet executable is not beside the tests"),
    .enabled(if: SharedFixtures.smolLM2 != nil, "models/SmolLM2-135M-Instruct.Q4_1.gguf is absent ('make model')"),
    .serialized)
struct RequestBenchTests {
    @Test func requestsAreMeasured() throws {
        let arguments = [
            "bench", CommandLineProgram.model, "--requests", "6", "--input", "4-16", "--answer", "2-5",
            "--max-requests", "3",
            "--seed", "5",
        ]
        let json = try CommandLineProgram.run(
            arguments + ["--serial", "--rate", "50", "--goodput", "e2el:1000000", "--json"])
        #expect(json.status == 0 && json.error.isEmpty)
        let results = try #require(JSONSerialization.jsonObject(with: json.output) as? [[String: Any]])
        #expect(results.map { $0["arrivals"] as? String } == ["Poisson, 50.0/s", "one at a time"])
        for result in results {
            #expect(result["requests"] as? Int == 6)
            let tokens = try #require(result["outputTokens"] as? Int)
            #expect((12...30).contains(tokens))
            #expect((24...96).contains(try #require(result["promptTokens"] as? Int)))
            for name in ["ttft", "tpot", "itl", "endToEnd"] {
                let values = try #require(result[name] as? [String: Double])
                #expect(values["p50"] ?? 0 > 0 && values["p50"] ?? 0 <= values["p99"] ?? 0)
            }
            // All are good, so goodput is throughput.
            #expect(result["goodput"] as? Double == result["requestsPerSecond"] as? Double)
            #expect(result["peakCacheRows"] as? Int ?? 0 > 4)
        }
        // One at a time every token but an answer's first is a step of its own.
        #expect(results[1]["steps"] as? Int == results[1]["outputTokens"] as? Int)
        #expect(try #require(results[0]["steps"] as? Int) <= (try #require(results[1]["steps"] as? Int)))

        let table = try CommandLineProgram.run(arguments)
        #expect(table.text.contains("| together "))
        #expect(table.text.contains("TTFT") && table.text.contains("p99"))
        #expect(try CommandLineProgram.run(arguments + ["--ladder"]).errorLines.count == 1)
    }
}
