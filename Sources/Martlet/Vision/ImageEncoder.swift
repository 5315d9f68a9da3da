import Foundation
import MartletGraph
import MartletModels

/// Turns image files into rows for the language model, on a thread of its own: the engine's thread only steps.
///
/// One image is decoded and encoded at a time, so that what images take of memory does not grow with the requests that
/// bring them. What was made of the last images is kept: every turn of a conversation brings its images again.
actor ImageEncoder {
    private let thread = EngineThread()
    private let runner: VisionRunner
    private var kept: [Digest: Entry] = [:]
    private var keptBytes = 0
    private var clock = 0
    private var nextNumber: Int32 = 0
    /// How many images went through the tower.
    private(set) var encodedCount = 0

    private struct Entry {
        let source: ImagePrompt.Source
        let bytes: Int
        var lastUse: Int
    }

    /// Bytes of rows that are kept: some 60 images of LLaVA-1.5.
    private static let keptLimit = 512 << 20

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// - Parameter runner: the encoder is its only user from now on.
    init(_ runner: sending VisionRunner) {
        self.runner = runner
        thread.start(name: "martlet-vision") { false }
    }

    deinit { thread.stop() }

    /// What the tower makes of image files.
    ///
    /// - Parameter terms: of the request. Where nobody waits for it any more the rest is left.
    /// - Throws: `EngineError` that says which file is no image that the model can see; `queueTimeout`, `deadlineExceeded`.
    func encode(_ files: [Data], _ terms: RequestTerms) throws(EngineError) -> [ImagePrompt.Source] {
        var sources: [ImagePrompt.Source] = []
        for (index, file) in files.enumerated() {
            try terms.checkIsWanted()
            do throws(EngineError) {
                sources.append(try encode(file))
            } catch {
                throw EngineError(error.code, "image \(index): \(error.message)", parameter: error.parameter)
            }
        }
        return sources
    }

    /// The prompt in which the images stand where the tokens have place for them.
    func prompt(_ tokens: [Int32], _ files: [Data], _ terms: RequestTerms) throws(EngineError) -> ImagePrompt {
        try ImagePrompt(tokens, encode(files, terms), for: runner)
    }

    private func encode(_ file: Data) throws(EngineError) -> ImagePrompt.Source {
        clock += 1
        let digest = Digest(file)
        if let entry = kept[digest] {
            kept[digest]?.lastUse = clock
            return entry.source
        }
        let features = try runner.encode(file)
        encodedCount += 1
        // Numbers are never used twice: what a prefix cache still knows of an image that was forgotten here is only missed.
        guard nextNumber < .max else { throw EngineError(.stepFailed, "too many images since the model was loaded") }
        let source = ImagePrompt.Source(features: features, number: nextNumber)
        nextNumber += 1
        keep(source, digest)
        return source
    }

    private func keep(_ source: ImagePrompt.Source, _ digest: Digest) {
        let bytes = source.features.rows.count * source.features.rows.width * MemoryLayout<Float>.size
        guard bytes <= Self.keptLimit else { return }
        while keptBytes + bytes > Self.keptLimit, let oldest = kept.min(by: { $0.value.lastUse < $1.value.lastUse }) {
            kept[oldest.key] = nil
            keptBytes -= oldest.value.bytes
        }
        kept[digest] = Entry(source: source, bytes: bytes, lastUse: clock)
        keptBytes += bytes
    }

    /// Tells files apart. Two independent hashes with keys that this process has drawn: nobody outside can find two files
    /// that share them.
    private struct Digest: Hashable {
        let byteCount: Int
        let first: Int
        let second: Int

        init(_ file: Data) {
            byteCount = file.count
            (first, second) = (Self.hash(file, 1), Self.hash(file, 2))
        }

        private static func hash(_ file: Data, _ salt: UInt8) -> Int {
            var hasher = Hasher()
            hasher.combine(salt)
            file.withUnsafeBytes { hasher.combine(bytes: $0) }
            return hasher.finalize()
        }
    }
}
