import Foundation
import MartletJinja
import MartletServer

/// Requests with their lengths and times of arrival: what a load test sends.
struct RequestTrace: Equatable {
    struct Request: Equatable {
        /// Seconds from the start.
        var arrival: Double
        var prompt: [Int]
        var outputTokens: Int
    }

    var requests: [Request]

    var promptTokens: Int { requests.reduce(0) { $0 + $1.prompt.count } }
    var outputTokens: Int { requests.reduce(0) { $0 + $1.outputTokens } }

    /// Random tokens in random lengths, all at once: the same for the same seed.
    ///
    /// - Parameters:
    ///   - sharedPrefix: tokens that all prompts begin with, on top of their own.
    ///   - tokens: the ids to draw from.
    static func synthetic(
        count: Int, input: ClosedRange<Int>, output: ClosedRange<Int>, sharedPrefix: Int, tokens: Range<Int>,
        seed: UInt64
    ) -> RequestTrace {
        var random = SplitMix64(seed: seed)
        let prefix = (0..<sharedPrefix).map { _ in Int.random(in: tokens, using: &random) }
        return RequestTrace(
            requests: (0..<count).map { _ in
                let length = Int.random(in: input, using: &random)
                let outputTokens = Int.random(in: output, using: &random)
                let prompt = prefix + (0..<length).map { _ in Int.random(in: tokens, using: &random) }
                return Request(arrival: 0, prompt: prompt, outputTokens: outputTokens)
            })
    }

    /// The same requests as a Poisson process: gaps are exponentially distributed, and their mean is exactly 1/`rate`, so
    /// that the load of a short trace is the one that was asked for.
    func poisson(rate: Double, seed: UInt64) -> RequestTrace {
        var trace = self
        for (index, time) in Self.poissonArrivals(count: requests.count, rate: rate, seed: seed).enumerated() {
            trace.requests[index].arrival = time
        }
        return trace
    }

    /// Requests per second that a clock can keep apart, and that come to an end.
    static let rates = 1e-6...1e6

    static func poissonArrivals(count: Int, rate: Double, seed: UInt64) -> [Double] {
        var random = SplitMix64(seed: seed)
        let gaps = (0..<count).map { _ in -log(1 - Double.random(in: 0..<1, using: &random)) }
        let scale = Double(count) / rate / max(gaps.reduce(0, +), .leastNonzeroMagnitude)
        var time = 0.0
        return gaps.map { gap in
            time += gap * scale
            return time
        }
    }

    // MARK: Files

    /// Tokens that one of a trace's `hash_ids` stands for.
    private static let blockLength = 512
    private static let longestRequest = 1 << 20
    private static let mostRequests = 1_000_000

    /// Reads a trace in Mooncake's format (Qin et al. 2024), which vLLM's benchmarks take too: in every line
    /// `{"timestamp": milliseconds, "input_length": …, "output_length": …, "hash_ids": […]}`. Prompts whose `hash_ids` begin
    /// alike begin with the same 512 tokens for each; without them prompts have nothing in common.
    ///
    /// - Throws: `CommandFailure` that names the line.
    init(path: String, tokens: Range<Int>, seed: UInt64) throws {
        requests = []
        let file = try LineFile(path: path, limit: 1 << 20)
        var number = 0
        while let line = try file.next() {
            number += 1
            func failure(_ reason: String) -> CommandFailure { CommandFailure("\(path), line \(number): \(reason)") }
            guard case .bytes(let bytes) = line, let document = try? Value(strictJSON: bytes) else {
                throw failure("not a JSON object")
            }
            guard let input = document["input_length"]?.integer, (1...Self.longestRequest).contains(input),
                let output = document["output_length"]?.integer, (1...Self.longestRequest).contains(output)
            else { throw failure("input_length and output_length must be 1 to \(Self.longestRequest)") }
            let time = document["timestamp"]?.seconds ?? 0
            guard (0...1e7).contains(time) else { throw failure("timestamp must be milliseconds from the start") }
            guard requests.count < Self.mostRequests else { throw failure("more than \(Self.mostRequests) requests") }
            let blocks = (document["hash_ids"]?.array ?? []).map { UInt64(bitPattern: Int64($0.integer ?? 0)) }
            requests.append(
                Request(
                    arrival: time,
                    prompt: Self.prompt(input, blocks, own: UInt64(number), tokens: tokens, seed: seed),
                    outputTokens: output))
        }
        guard !requests.isEmpty else { throw CommandFailure("\(path) has no requests") }
        requests.sort { $0.arrival < $1.arrival }
    }

    private init(requests: [Request]) { self.requests = requests }

    private static func prompt(
        _ length: Int, _ blocks: [UInt64], own: UInt64, tokens: Range<Int>, seed: UInt64
    ) -> [Int] {
        var prompt: [Int] = []
        for start in stride(from: 0, to: length, by: blockLength) {
            let block = start / blockLength
            var random = SplitMix64(seed: seed)
            // What a request shares with none is its own: ids of blocks are below 2^63.
            let name = block < blocks.count ? blocks[block] : own | 1 << 63
            random = SplitMix64(seed: random.next() ^ name &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(block))
            for _ in start..<min(start + blockLength, length) {
                prompt.append(Int.random(in: tokens, using: &random))
            }
        }
        return prompt
    }
}

extension Value {
    /// Milliseconds as seconds.
    fileprivate var seconds: Double? {
        switch self {
        case .int(let value): Double(value) / 1000
        case .float(let value): value / 1000
        default: nil
        }
    }
}
