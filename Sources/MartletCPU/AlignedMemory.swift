import CKernels
import Glibc

/// Page-aligned, zero-filled memory that asks for huge pages: weights, the KV pool and the arena live in it.
///
/// With 4 KiB pages a decode step touches tens of thousands of page-table entries; every figure in the docs uses this.
final class AlignedMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    /// - Throws: `CPUBackendError.outOfMemory` if the kernel refuses the mapping.
    init(byteCount: Int) throws(CPUBackendError) {
        self.byteCount = max(byteCount, 1)
        guard
            let pointer = mmap(nil, self.byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            pointer != MAP_FAILED
        else { throw .outOfMemory(bytes: byteCount) }
        base = pointer
        if byteCount >= Self.hugePage {
            madvise(base, self.byteCount, MADV_HUGEPAGE)  // advice: refusal costs speed, not correctness
        }
    }

    deinit { munmap(base, byteCount) }

    /// Has the system provide this part of the memory now, a huge page at a time. What is there keeps its contents.
    ///
    /// - Returns: false before Linux 5.14, which does not know it: memory comes when it is used.
    @discardableResult
    func populate(_ range: Range<Int>) -> Bool {
        for start in stride(
            from: range.lowerBound / Self.hugePage * Self.hugePage, to: range.upperBound, by: Self.hugePage)
        {
            let size = min(Self.hugePage, range.upperBound - start)
            guard madvise(base + start, size, Self.populateWrite) == 0 else { return false }
        }
        return true
    }

    private static let hugePage = 2 << 20
    /// `MADV_POPULATE_WRITE` (madvise(2)), which the toolchain's headers may lack.
    private static let populateWrite: Int32 = 23
}

/// What keeps a model from being made ready on the CPU.
package enum CPUBackendError: Error, CustomStringConvertible {
    case outOfMemory(bytes: Int)
    /// Of an attention method other than `paged`.
    case unsupportedKVType(String)
    case unknownInstructionSet(String)
    case unsupportedWeight(name: String, reason: String)
    case unsupportedHeadDimension(Int)

    package var description: String {
        switch self {
        case .outOfMemory(let bytes):
            "cannot allocate \(bytes >> 20) MiB: use a smaller KV cache or a smaller model"
        case .unsupportedKVType(let type):
            "keys and values of type \(type): the optimization ladder takes f16 and f32"
        case .unknownInstructionSet(let name):
            "MARTLET_ISA=\(name): not one of avx512, avx2, neon, portable, or this CPU lacks it"
        case .unsupportedWeight(let name, let reason):
            "\(name): \(reason)"
        case .unsupportedHeadDimension(let headDim):
            "attention heads of \(headDim) dimensions: the CPU backend takes at most \(CK_MAX_HEAD_DIM)"
        }
    }
}
