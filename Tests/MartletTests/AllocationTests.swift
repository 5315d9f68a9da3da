import AllocationCounter
import Martlet
import MartletGraph
import Testing

@Suite(.enabled(if: SmolLM2.isPresent, Comment(rawValue: SmolLM2.absence)))
struct AllocationTests {
    /// After the first steps, a step allocates nothing: one worker, so that all of it runs on the counting thread.
    @Test func stepAllocatesNothing() throws {
        let model = try SmolLM2.load { $0.threads = 1 }.compiled
        let input = StepInput(limits: model.limits)
        let rows = UnsafeMutablePointer<Int32>.allocate(capacity: 2048)
        let tokens = UnsafeMutablePointer<Int32>.allocate(capacity: 2048)
        defer {
            rows.deallocate()
            tokens.deallocate()
        }
        for index in 0..<2048 { (rows[index], tokens[index]) = (Int32(index), Int32(index % 1000)) }
        func step(_ computed: Int, _ count: Int) {
            input.removeAll()
            input.append(
                query: UnsafeBufferPointer(start: tokens, count: count), computed: computed, table: rows, sampledTail: 1
            )
            _ = model.run(input)
        }
        let before = allocation_count()
        _ = Array(repeating: before, count: 100)
        #expect(allocation_count() > before, "the counter counts")
        // Warm-up: a prompt, and a token after more than one split-KV chunk.
        step(0, 512)
        step(512, 100)
        step(700, 1)
        let warm = allocation_count()
        step(0, 512)
        step(512, 77)
        for position in 589..<620 { step(position, 1) }
        #expect(allocation_count() == warm)
    }
}
