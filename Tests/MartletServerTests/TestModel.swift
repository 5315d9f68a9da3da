import Foundation
import Martlet
import MartletJinja
import MartletServer
import TestSupport

/// The real default model, loaded once for all tests.
enum TestModel {
    static let isPresent = SharedFixtures.smolLM2 != nil
    static let absence = "the default model is absent: run 'make model'"
    static let contextLength = 512

    private static let loading = Task {
        var options = LoadOptions()
        options.contextLength = contextLength
        options.maxRequests = 8
        let llm = try await LLM.load(SharedFixtures.smolLM2?.path ?? "", options: options)
        return ServedModel(llm, names: ["SmolLM2", "smollm2"], created: 1_700_000_000)
    }

    static var served: ServedModel {
        get async throws { try await loading.value }
    }
}

/// JSON as a request has it.
func json(_ text: String) throws -> Value { try Value(strictJSON: Array(text.utf8)) }
