import ArgumentParser
import Martlet
import MartletCheckpoints

// Many requests at once: `martlet bench MODEL --requests 64`.
extension BenchCommand {
    func runRequests() async throws {
        let path = try source.path()
        let configuration = try Checkpoint(path: path).configuration
        // The first ids are special tokens in most vocabularies.
        let tokens = min(1000, configuration.vocabularySize / 2)..<max(configuration.vocabularySize, 1)
        var trace =
            try requests.trace.map { try RequestTrace(path: $0, tokens: tokens, seed: requests.seed) }
            ?? RequestTrace.synthetic(
                count: requests.requests ?? 0, input: requests.input.values, output: requests.answer.values,
                sharedPrefix: requests.sharedPrefix, tokens: tokens, seed: requests.seed)
        let isTimed = trace.requests.contains { $0.arrival > 0 }
        var name = isTimed ? "as in the trace" : "together"
        if let rate = requests.rate {
            trace = trace.poisson(rate: rate, seed: requests.seed)
            name = "Poisson, \(rate)/s"
        }
        var results = [try await measure(trace, name, isSerial: false, path)]
        if requests.serial { results.append(try await measure(trace, "one at a time", isSerial: true, path)) }
        switch output.json ? .json : format {
        case .md: try StandardStream.output.write(RequestBenchResult.markdown(results))
        case .csv: throw CommandFailure("--requests prints md or json")
        case .json: try JSONOutput.print(results)
        }
    }

    /// Every measurement has an engine of its own: its caches are empty, and its statistics begin at 0.
    private func measure(
        _ trace: RequestTrace, _ name: String, isSerial: Bool, _ path: String
    ) async throws -> RequestBenchResult {
        var options = LoadOptions()
        options.compute = arithmetic.compute
        options.quantization = weights.quantization
        options.kvType = cache.kvCacheType
        options.threads = threads?.values[0]
        options.pinsThreads = pinning.pinThreads
        options.maxRequests = requests.maxRequests
        options.maxBatchedTokens = max(chunk, requests.maxRequests)
        requests.cacheSize.apply(to: &options)
        var engine = EngineOptions()
        requests.sharing.apply(to: &engine)
        try requests.speculation.apply(to: &engine)
        engine.maxQueuedRequests = trace.requests.count
        engine.maxQueuedTokens = max(trace.promptTokens, 1)
        let llm = try await ModelLoading.engine(path, options, engine)
        let bar = ProgressBar("bench")
        defer { bar.finish() }
        let count = trace.requests.count
        let run = try await RequestBench(llm: llm, trace: trace, isSerial: isSerial).run { done in
            bar.update(Double(done) / Double(count), note: "\(done)/\(count) \(name)")
        }
        let statistics = await llm.statistics
        await llm.shutdown()
        return RequestBenchResult(
            arrivals: name, run.samples, seconds: run.seconds, promptTokens: trace.promptTokens,
            objectives: requests.goodput ?? ServiceObjectives(), statistics)
    }
}
