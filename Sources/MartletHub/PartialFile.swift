internal import Foundation
internal import Synchronization

/// A file that is being downloaded, in pieces that arrive in any order.
///
/// It is named by the hash of what it will hold, so that a later run that wants the same bytes goes on where this one stopped,
/// whatever repository or revision asks for them. Beside it lies the progress: for each piece, the bytes that are there.
final class PartialFile: Sendable {
    let path: String
    private let size: Int
    private let pieceSize: Int
    private let descriptor: Int32
    private let progressPath: String
    private let progressDescriptor: Int32
    /// By piece, the bytes from its start that are written.
    private let done: Mutex<[UInt32]>

    /// Opens what an earlier run left, or starts anew.
    ///
    /// - Throws: `HubError.storage`, also if another process is downloading the same file.
    init(path: String, size: Int, pieceSize: Int) throws(HubError) {
        self.path = path
        self.size = size
        self.pieceSize = pieceSize
        progressPath = path + ".progress"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw .storage("cannot create \(path)") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw HubError(.storage, "another download of the same file is running")
        }
        // Between opening and locking, another process may have moved the file to where it belongs.
        var (opened, named) = (stat(), stat())
        guard fstat(descriptor, &opened) == 0, lstat(path, &named) == 0, opened.st_ino == named.st_ino,
            opened.st_dev == named.st_dev
        else {
            close(descriptor)
            throw HubError(.storage, "another download of the same file has just ended")
        }
        progressDescriptor = open(progressPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard progressDescriptor >= 0 else {
            close(descriptor)
            throw .storage("cannot create \(progressPath)")
        }
        let pieces = (size + pieceSize - 1) / pieceSize
        let known = Self.progress(progressDescriptor, descriptor, pieces: pieces, size: size, pieceSize: pieceSize)
        done = Mutex(known ?? [UInt32](repeating: 0, count: pieces))
        if known == nil { try start(pieces: pieces) }
    }

    deinit {
        close(progressDescriptor)
        close(descriptor)
    }

    private func start(pieces: Int) throws(HubError) {
        guard ftruncate(progressDescriptor, 0) == 0, ftruncate(progressDescriptor, off_t(8 + pieces * 4)) == 0,
            ftruncate(descriptor, 0) == 0, ftruncate(descriptor, off_t(size)) == 0
        else { throw .storage("cannot make \(path)") }
        var header = UInt64(pieceSize)
        guard pwrite(progressDescriptor, &header, 8, 0) == 8 else { throw .storage("cannot write \(progressPath)") }
    }

    /// What an earlier run has written down; nil if that does not fit the file.
    private static func progress(
        _ progress: Int32, _ file: Int32, pieces: Int, size: Int, pieceSize: Int
    ) -> [UInt32]? {
        var status = stat()
        guard fstat(file, &status) == 0, Int(status.st_size) == size, fstat(progress, &status) == 0,
            Int(status.st_size) == 8 + pieces * 4
        else { return nil }
        var header: UInt64 = 0
        guard pread(progress, &header, 8, 0) == 8, header == UInt64(pieceSize) else { return nil }
        var done = [UInt32](repeating: 0, count: pieces)
        guard pread(progress, &done, pieces * 4, 8) == pieces * 4 else { return nil }
        for (index, count) in done.enumerated() {
            guard Int(count) <= min(pieceSize, size - index * pieceSize) else { return nil }
        }
        return done
    }

    /// Bytes that are there.
    var completed: Int { done.withLock { $0.reduce(0) { $0 + Int($1) } } }

    /// What is missing, in order, no range longer than a piece.
    var gaps: [Range<Int>] {
        done.withLock { done in
            done.enumerated().compactMap { index, count in
                let start = index * pieceSize + Int(count)
                let end = min((index + 1) * pieceSize, size)
                return start < end ? start..<end : nil
            }
        }
    }

    /// Writes the bytes at `offset`, which must be where a gap starts.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(HubError) {
        var offset = offset
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = offset / pieceSize
            let count = min(rest.count, (piece + 1) * pieceSize - offset)
            try writeAll(UnsafeRawBufferPointer(rebasing: rest.prefix(count)), at: offset)
            offset += count
            rest = rest.dropFirst(count)
            let reached = UInt32(offset - piece * pieceSize)
            done.withLock { $0[piece] = reached }
            let isNoted = withUnsafeBytes(of: reached) {
                pwrite(progressDescriptor, $0.baseAddress, 4, off_t(8 + piece * 4)) == 4
            }
            guard isNoted else {
                throw .storage("cannot write \(progressPath)")
            }
        }
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(HubError) {
        guard let base = bytes.baseAddress else { return }
        var written = 0
        while written < bytes.count {
            let count = pwrite(descriptor, base + written, bytes.count - written, off_t(offset + written))
            if count > 0 {
                written += count
            } else if errno != EINTR {
                throw .storage("cannot write \(path)")
            }
        }
    }

    /// The hash of the whole file, in hex.
    func hash(_ kind: ContentHash) throws(HubError) -> String {
        var hasher = kind.hasher(size: size)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < size {
            let count = pread(descriptor, buffer.baseAddress, min(buffer.count, size - offset), off_t(offset))
            if count > 0 {
                hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                offset += count
            } else if count == 0 || errno != EINTR {
                throw .storage("cannot read \(path)")
            }
        }
        return hasher.finalize()
    }

    /// Moves the file to its place, in one step: it is there whole, or not at all.
    func move(to destination: String) throws(HubError) {
        guard fsync(descriptor) == 0, rename(path, destination) == 0 else {
            throw .storage("cannot move a file to \(destination)")
        }
        unlink(progressPath)
    }

    /// Forgets what was downloaded.
    func discard() {
        unlink(progressPath)
        unlink(path)
    }
}

extension HubError {
    /// With what the system says about the last call that failed.
    static func storage(_ what: String) -> HubError {
        HubError(.storage, "\(what): \(String(cString: strerror(errno)))")
    }
}
