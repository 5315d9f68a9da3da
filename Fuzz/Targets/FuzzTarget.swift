import Foundation
import TestSupport

/// A reader of what others send or publish. `Fuzz/Makefile` runs it under libFuzzer and AddressSanitizer, `ReplayTests` with
/// what is known already and small changes of it.
///
/// Whatever the bytes are, `read` returns, soon: errors are caught inside, and what must not be is a failed precondition.
struct FuzzTarget: Sendable {
    let name: String
    /// Longest input that is tried.
    let longest: Int
    /// Inputs from the tests' own files, which show the fuzzer what the format looks like.
    let seeds: @Sendable () throws -> [[UInt8]]
    let read: @Sendable ([UInt8]) -> Void

    static let all = [
        gguf, safetensors, tokenizer, template, structure, configuration, request, answer, image,
    ]

    /// A fixture of some test target.
    static func fixture(_ path: String) throws -> Data {
        try Data(contentsOf: SharedFixtures.repository.appending(path: "Tests").appending(path: path))
    }

    /// The fixtures in a folder.
    static func fixtures(_ folder: String, longest: Int) throws -> [[UInt8]] {
        let url = SharedFixtures.repository.appending(path: "Tests").appending(path: folder)
        let files = try FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)
        return try files.sorted { $0.path < $1.path }.map { Array(try Data(contentsOf: $0)) }
            .filter { $0.count <= longest }
    }
}

extension [UInt8] {
    /// A number made of the bytes (FNV-1a), to seed what a target draws.
    var fingerprint: UInt64 {
        reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}

/// Keeps the optimizer from dropping what was read.
@inline(never)
func consume(_ value: Int) { sink = sink &+ value }
nonisolated(unsafe) private var sink = 0

#if FUZZING
    /// The target that the environment names.
    private let chosen: FuzzTarget = {
        let name = ProcessInfo.processInfo.environment["MARTLET_FUZZ"] ?? ""
        guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
            fatalError("MARTLET_FUZZ must be one of \(FuzzTarget.all.map(\.name))")
        }
        return target
    }()

    /// libFuzzer's start. With MARTLET_SEEDS it writes the target's seeds to that folder, and ends. Otherwise it adds the
    /// target's longest input to the options.
    @_cdecl("LLVMFuzzerInitialize")
    public func initialize(
        _ count: UnsafeMutablePointer<CInt>,
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
    ) -> CInt {
        guard let folder = ProcessInfo.processInfo.environment["MARTLET_SEEDS"] else {
            let given = UnsafeBufferPointer(start: arguments.pointee, count: Int(count.pointee))
            let all = Array(given) + [strdup("-max_len=\(chosen.longest)"), nil]
            // For as long as the process runs.
            let copy = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: all.count)
            copy.initialize(from: all, count: all.count)
            arguments.pointee = copy
            count.pointee += 1
            return 0
        }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for (index, seed) in try chosen.seeds().enumerated() {
                try Data(seed).write(to: URL(filePath: folder).appending(path: "seed-\(index)"))
            }
            exit(0)
        } catch {
            fatalError("\(error)")
        }
    }

    /// libFuzzer's entry. The bytes are a heap copy of exactly their length, so that a read past their end is seen.
    @_cdecl("LLVMFuzzerTestOneInput")
    public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        chosen.read(Array(UnsafeBufferPointer(start: start, count: count)))
        return 0
    }
#endif
