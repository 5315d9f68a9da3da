internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// Fetches what is missing of one file: in parallel ranges, or as one stream from a server that knows no ranges.
struct FileDownload {
    /// What is learned about the server, shared by all files of a model.
    final class Server: Sendable {
        /// Whether it answers ranges; nil while nobody has asked.
        let knowsRanges = Mutex<Bool?>(nil)
    }

    /// The server sent the whole file where a range was asked for.
    private struct RangeIgnored: Error {}

    let client: HubClient
    let server: Server
    let file: RepositoryFile
    let address: String
    let partial: PartialFile
    /// Called with the number of bytes that were written.
    let report: @Sendable (Int) -> Void

    /// Fetches all that is missing, and compares the hash.
    func run() async throws {
        if server.knowsRanges.withLock({ $0 }) != false {
            do {
                try await fetchInParallel()
            } catch is RangeIgnored {
                server.knowsRanges.withLock { $0 = false }
            }
        }
        // Nothing is left here unless ranges are ignored: one gap after the other then, each up to its end.
        while streamGap != nil {
            try await retrying { if let gap = streamGap { try await fetch(gap, isStream: true) } }
        }
        let found = try partial.hash(file.hash)
        guard found == file.hash.hex else {
            partial.discard()
            throw HubError(
                .hashMismatch,
                "\(file.path): what came has the hash \(found), but the repository lists \(file.hash.hex); it was discarded"
            )
        }
    }

    private func fetchInParallel() async throws {
        var gaps = partial.gaps[...]
        // The first range also tells whether the server knows ranges at all.
        if server.knowsRanges.withLock({ $0 }) == nil, let first = gaps.popFirst() {
            try await fetchPiece(first)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for gap in gaps.prefix(client.configuration.connections) { group.addTask { try await fetchPiece(gap) } }
            gaps = gaps.dropFirst(client.configuration.connections)
            while try await group.next() != nil {
                if let gap = gaps.popFirst() { group.addTask { try await fetchPiece(gap) } }
            }
        }
    }

    /// Fetches one piece; after a failure, what is still missing of it.
    private func fetchPiece(_ gap: Range<Int>) async throws {
        try await retrying {
            let rest = partial.gaps.first { gap.contains($0.lowerBound) }
            if let rest { try await fetch(rest, isStream: false) }
        }
    }

    private func retrying(_ body: () async throws -> Void) async throws {
        try await client.retrying(progress: { partial.completed }, body)
    }

    /// The first gap, as far as it reaches over pieces that are empty too.
    private var streamGap: Range<Int>? {
        let gaps = partial.gaps
        guard var gap = gaps.first else { return nil }
        for next in gaps.dropFirst() where next.lowerBound == gap.upperBound { gap = gap.lowerBound..<next.upperBound }
        return gap
    }

    private func fetch(_ gap: Range<Int>, isStream: Bool) async throws {
        let isWhole = gap == 0..<file.size
        let response = try await client.open(
            address, subject: file.path, range: isWhole ? nil : gap, inspect: checkAnnouncedHash)
        var skipped = 0
        if response.status == 206 {
            try checkRange(response, gap)
            server.knowsRanges.withLock { $0 = $0 ?? true }
        } else {
            if let length = response.header("Content-Length").flatMap(Int.init), length != file.size {
                throw HubError(
                    .badResponse, "\(file.path): the server has \(length) bytes where the repository lists \(file.size)"
                )
            }
            guard isStream || isWhole else { throw RangeIgnored() }
            skipped = gap.lowerBound
        }
        var position = gap.lowerBound
        do {
            for try await var part in response.body {
                let ignored = min(skipped, part.readableBytes)
                skipped -= ignored
                part.moveReaderIndex(forwardBy: ignored)
                let count = min(part.readableBytes, gap.upperBound - position)
                try part.withUnsafeReadableBytes { bytes in
                    try partial.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: position)
                }
                position += count
                report(count)
                // A body may go on for ever; what we asked for is here.
                if position == gap.upperBound { break }
            }
        } catch {
            throw HubClient.described(error, host: response.url.host() ?? "the server")
        }
        guard position == gap.upperBound else {
            throw HubError(.connection, "\(file.path): the server stopped in the middle", isTransient: true)
        }
    }

    /// `Content-Range: bytes FIRST-LAST/SIZE` must be what was asked for, or bytes would land in the wrong place.
    private func checkRange(_ response: HubClient.Response, _ gap: Range<Int>) throws(HubError) {
        let expected = "bytes \(gap.lowerBound)-\(gap.upperBound - 1)/"
        let found = response.header("Content-Range") ?? ""
        guard found == expected + "\(file.size)" || found == expected + "*" else {
            throw HubError(
                .badResponse,
                "\(file.path): the server answers '\(found.excerpt)' where \(expected)\(file.size) was asked for")
        }
    }

    /// The hub names a large file's hash in its redirect: no need to fetch the wrong file first.
    private func checkAnnouncedHash(_ response: HubClient.Response) throws(HubError) {
        guard case .sha256(let expected) = file.hash, let tag = response.header("X-Linked-Etag") else { return }
        let announced = tag.lowercased().filter { $0 != "\"" }
        guard !ContentHash.isHex(announced, count: 64) || announced == expected else {
            throw HubError(
                .hashMismatch,
                "\(file.path): the server has the file \(announced), but the repository lists \(expected)")
        }
    }
}
