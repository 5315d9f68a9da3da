import Foundation
import MartletCheckpoints
import MartletGraph
import TestSupport
import Testing

@testable import Martlet

@Suite struct MemoryBudgetTests {
    private static let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    private static let context = 1 << 30

    /// The budget of a model whose K and V take 16 bytes a token, and whose context is as long as a file may claim.
    private static func budget(_ change: (inout LoadOptions) -> Void = { _ in }) throws -> MemoryBudget {
        var folder = TinyModelFolder()
        folder.settings["max_position_embeddings"] = "\(context)"
        let written = try folder.write()
        var options = LoadOptions()
        change(&options)
        return try MemoryBudget(Checkpoint(path: written.path).configuration, options, kvType: .f16)
    }

    @Test func bookkeepingIsPartOfTheDefault() throws {
        let budget = try Self.budget()
        // A row is 16 bytes of K and V and a count of its owners; each of 16 requests has a table of its rows.
        let bytes = budget.kvRows * (16 + 4) + budget.contextLength * 16 * 4
        #expect(bytes <= Self.machine / 4)
        #expect(budget.kvRows >= min(Self.machine / 4 / 128, Self.context))
        #expect(budget.contextLength == min(budget.kvRows, Self.context))
    }

    @Test func rowsHaveNumbersOf32Bits() throws {
        let unbounded = try Self.budget { $0.kvCacheMemory = .max }
        // The pool rounds up to whole pages.
        #expect((unbounded.kvRows + 63) / 64 * 64 <= Int(Int32.max))
    }

    @Test func whatIsAskedForIsWhatThereIs() throws {
        #expect(try Self.budget { $0.kvCacheMemory = 16_000 }.kvRows == 1000)
        #expect(try Self.budget { $0.kvCacheTokens = 1000 }.kvRows == 1000)
    }

    @Test(arguments: [machine / 16, Int(Int32.max), 1 << 40, .max])
    func tokensThatTheMachineCannotHoldAreRefused(tokens: Int) {
        let error = #expect(throws: EngineError.self) { try Self.budget { $0.kvCacheTokens = tokens } }
        #expect(error?.code == .invalidParameter && error?.parameter == "kvCacheTokens")
        #expect(error?.message.hasPrefix("kvCacheTokens is \(tokens); this machine can hold ") == true)
    }
}
