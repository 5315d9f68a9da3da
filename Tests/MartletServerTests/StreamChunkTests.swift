import Foundation
import Martlet
import MartletJinja
import Testing

@testable import MartletServer

/// Chunks that are put together from a frame are those that are written whole.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)))
struct StreamChunkTests {
    @Test(arguments: [CompletionRequest.Kind.chat, .text]) func framesHoldAnyText(kind: CompletionRequest.Kind)
        async throws
    {
        let served = try await TestModel.served
        // A name that spells what is looked for.
        let model = ServedModel(served.llm, names: [#"a"text":""#, "b"], created: 1)
        let body =
            kind == .chat
            ? #"{"messages": [{"role": "user", "content": "Hi"}], "stream": true, "n": 2}"#
            : #"{"prompt": "Hi", "stream": true, "n": 2}"#
        let request = try CompletionRequest(kind, json(body), for: model)
        let response = CompletionResponse(request, model: model, created: 1)
        var parameters = SamplingParameters()
        parameters.maxTokens = 2
        var parts: [RequestOutput] = []
        for try await part in try await served.llm.generate(.text("Hi"), parameters) { parts.append(part) }
        var output = try #require(parts.first)
        output.finishReason = nil
        for text in ["a", "\"text\":\"\"", "\"content\":\"\"", "\n\\\u{1}", "é😀", "</script>"] {
            output.text = text
            for choice in 0..<2 {
                output.index = choice
                var events = ServerSentEvents(response, request)
                let written = events.text(for: .output(choice: choice, output))
                let whole = try #require(response.textChunk(choice, output, offset: 0)).json()
                #expect(written.hasSuffix("data: \(whole)\n\n"))
            }
        }
    }
}
