import Glibc

/// A file's bytes, mapped read-only: a 5 GB checkpoint costs address space, and memory only where it is read.
///
/// The bytes stay valid while the object lives. A file that another process truncates while it is mapped raises SIGBUS on
/// the next access, as for every program that maps files; a checkpoint must not be rewritten in place while it is loading.
package final class MappedFile: @unchecked Sendable {
    // Unchecked: the bytes are never written after `init`, and the other properties are constants.

    /// The path as it was given.
    package let path: String
    /// All bytes of the file; never empty.
    package let bytes: UnsafeRawBufferPointer
    private let isMapped: Bool

    package var size: Int { bytes.count }

    /// Maps a regular, non-empty file.
    package init(path: String) throws(CheckpointError) {
        self.path = path
        // Non-blocking: opening a FIFO would otherwise wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.systemError(path, "cannot be opened") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.systemError(path, "cannot be examined") }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw CheckpointError(file: path, reason: "is a directory, not a file")
        default: throw CheckpointError(file: path, reason: "is not a regular file")
        }
        guard let size = Int(exactly: status.st_size), size > 0 else {
            throw CheckpointError(file: path, reason: "is empty")
        }
        guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw Self.systemError(path, "cannot be mapped (\(size) bytes)")
        }
        bytes = UnsafeRawBufferPointer(start: address, count: size)
        isMapped = true
    }

    /// A copy of `contents` on the heap, exactly as long, so that a sanitizer sees a read past the end: for tests and
    /// fuzzers.
    package init(contents: some Collection<UInt8>, path: String) throws(CheckpointError) {
        guard !contents.isEmpty else { throw CheckpointError(file: path, reason: "is empty") }
        self.path = path
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: contents.count, alignment: 64)
        copy.copyBytes(from: contents)
        bytes = UnsafeRawBufferPointer(copy)
        isMapped = false
    }

    deinit {
        if isMapped {
            munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
        } else {
            bytes.deallocate()
        }
    }

    /// Gives back the memory of the whole pages inside `range`, whose weights have been repacked. The bytes stay readable:
    /// the next access reads the file again.
    package func release(_ range: Range<Int>) {
        guard isMapped, let base = bytes.baseAddress else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let clamped = range.clamped(to: 0..<size)
        // Inwards: a page that is shared with a neighbouring tensor may still be needed.
        let first = (clamped.lowerBound + page - 1) / page * page
        let last = clamped.upperBound / page * page
        guard first < last else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED)
    }

    /// Asks the kernel to read `range` ahead of its use.
    package func prefetch(_ range: Range<Int>) {
        guard isMapped, let base = bytes.baseAddress else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let clamped = range.clamped(to: 0..<size)
        let first = clamped.lowerBound / page * page
        guard first < clamped.upperBound else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + first), clamped.upperBound - first, MADV_WILLNEED)
    }

    private static func systemError(_ path: String, _ what: String) -> CheckpointError {
        CheckpointError(file: path, reason: "\(what): \(String(cString: strerror(errno)))")
    }
}
