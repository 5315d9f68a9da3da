import Foundation
import Martlet
import MartletJinja
import MartletServer

/// Answers the requests of a file, many at once, and writes what becomes of them.
struct BatchRun {
    /// What a run did, for `--json` and for the line at its end.
    struct Summary: Encodable, Equatable {
        var answered = 0
        /// Requests that were wrong, and lines that were none.
        var failed = 0
        /// Answered by an earlier run.
        var skipped = 0
        var promptTokens = 0
        var generatedTokens = 0
        var seconds = 0.0
    }

    /// A request of more is no request: OpenAI's limit is 200 MB for a whole file.
    static let longestLine = 64 << 20

    let model: ServedModel
    let input: LineFile
    let ids: BatchRequestIDs
    let output: BatchOutput
    let progress: (Double, Summary) -> Void
    private(set) var summary = Summary()

    init(
        _ model: ServedModel, input: LineFile, ids: BatchRequestIDs, output: BatchOutput,
        progress: @escaping (Double, Summary) -> Void
    ) {
        self.model = model
        self.input = input
        self.ids = ids
        self.output = output
        self.progress = progress
    }

    mutating func run() async throws {
        let start = ContinuousClock.now
        var names: Set<String> = []
        var number = 0
        try await withThrowingTaskGroup(of: BatchResult.self) { group in
            var running = 0
            while let line = try input.next() {
                number += 1
                if let bytes = line.bytes, bytes.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) { continue }
                let request = Self.parse(line, seen: &names)
                // A line that is too long has no answer that could be found again.
                let id = ids.id(line: number, line.bytes ?? [])
                if output.contains(id) {
                    summary.skipped += 1
                    continue
                }
                if running == model.llm.concurrency, let result = try await group.next() {
                    running -= 1
                    try record(result)
                }
                running += 1
                group.addTask { [number, model] in try await Self.answer(request, line: number, id: id, model) }
            }
            for try await result in group { try record(result) }
        }
        let statistics = await model.llm.statistics
        summary.promptTokens = statistics.promptTokens
        summary.generatedTokens = statistics.generatedTokens
        summary.seconds = (ContinuousClock.now - start).seconds
    }

    private mutating func record(_ result: BatchResult) throws {
        if case .answered = result.outcome { summary.answered += 1 } else { summary.failed += 1 }
        try output.append(result)
        progress(Double(input.position) / Double(max(input.size, 1)), summary)
    }

    private static func parse(_ line: LineFile.Line, seen names: inout Set<String>) -> Result<BatchLine, BatchLineError>
    {
        guard case .bytes(let bytes) = line else {
            let message = "the line has more than \(longestLine >> 20) MiB"
            return .failure(BatchLineError(code: "line_too_long", message: message))
        }
        return Result { () throws(BatchLineError) -> BatchLine in
            let request = try BatchLine(bytes)
            guard names.insert(request.customID).inserted else {
                throw BatchLineError(
                    code: "duplicate_custom_id", message: "an earlier line has the same custom_id",
                    customID: request.customID)
            }
            return request
        }
    }

    private static func answer(
        _ line: Result<BatchLine, BatchLineError>, line number: Int, id: String, _ model: ServedModel
    ) async throws -> BatchResult {
        let outcome: BatchResult.Outcome
        do {
            let line = try line.get()
            let request = try CompletionRequest(line.kind, line.body, for: model)
            guard !request.streams else { throw APIError(400, "A batch can't stream.", parameter: "stream") }
            outcome = .answered(try await request.complete(on: model, created: Int(Date().timeIntervalSince1970)))
        } catch let error as BatchLineError {
            outcome = .unreadable(error)
        } catch let error as APIError {
            outcome = .refused(error)
        }
        return BatchResult(line: number, customID: line.customID, requestID: id, outcome)
    }
}

extension Result<BatchLine, BatchLineError> {
    fileprivate var customID: String? {
        switch self {
        case .success(let line): line.customID
        case .failure(let error): error.customID
        }
    }
}
