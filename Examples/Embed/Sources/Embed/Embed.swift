import Martlet

/// A program with a language model in it:  swift run -c release Embed MODEL.gguf
@main
struct Embed {
    static func main() async throws {
        guard let model = CommandLine.arguments.dropFirst().first else { return print("usage: Embed MODEL.gguf") }
        let llm = try await LLM.load(model)

        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.maxTokens = 48

        // One answer, streamed. Leaving the loop, or cancelling the task, ends the request.
        let question = ChatMessage(role: "user", content: "What is the capital of France?")
        for try await output in try await llm.generate([question], parameters) {
            print(output.text, terminator: output.finishReason == nil ? "" : "\n")
        }

        // Many prompts, which share every step of the engine; the answers come in their order.
        let prompts: [Prompt] = ["Water boils at", "The opposite of hot is", "Roses are red, violets are"]
        parameters.stop = [".", "\n"]
        for (prompt, answer) in zip(prompts, try await llm.generate(prompts, parameters)) {
            print(prompt, answer.text)
        }

        let statistics = await llm.statistics
        print("\(statistics.generatedTokens) tokens in \(statistics.steps) steps")
        await llm.drain()
    }
}
