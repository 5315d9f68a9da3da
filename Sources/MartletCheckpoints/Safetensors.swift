import MartletJSON

/// A safetensors file. Format: https://huggingface.co/docs/safetensors
///
/// Layout: the length of a header (64 bits, little endian), the header in JSON, the tensors' bytes. Opening a file reads the
/// header and checks every size and offset against the file. As the format demands, the tensors fill what follows the
/// header without gap and without overlap.
package struct Safetensors: Sendable {
    package let file: MappedFile
    /// In the order of their data.
    package let tensors: [TensorDescriptor]

    package init(path: String) throws(CheckpointError) {
        try self.init(file: MappedFile(path: path))
    }

    package init(file: MappedFile) throws(CheckpointError) {
        var cursor = ByteCursor(file)
        let length = try cursor.count("the header's length", limit: Limits.headerLength, elementSize: 1)
        let range = try cursor.take(length, "the header")
        let header: SafetensorsHeader
        do {
            header = try SafetensorsHeader(Array(file.bytes[range]))
        } catch {
            throw CheckpointError(file: file.path, reason: "the header is broken: \(error.message)")
        }
        let dataStart = range.upperBound
        let tensors = try header.entries.map { (entry) throws(CheckpointError) in
            try Self.place(entry, dataStart: dataStart, file: file)
        }
        self.tensors = tensors.sorted {
            ($0.byteRange.lowerBound, $0.byteRange.upperBound) < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
        }
        self.file = file
        try refuseGaps(dataStart: dataStart)
    }

    /// What a file may claim.
    enum Limits {
        /// The reference implementation's own limit.
        static let headerLength = 100_000_000
        /// NumPy's limit is 64; weights have at most 5.
        static let dimensions = 16
    }

    /// The entry's place in the file, checked.
    private static func place(
        _ entry: SafetensorsHeader.Entry, dataStart: Int, file: MappedFile
    ) throws(CheckpointError) -> TensorDescriptor {
        func failure(_ reason: String) -> CheckpointError {
            CheckpointError(file: file.path, tensor: entry.name, reason: reason)
        }
        guard let type = TensorType(safetensors: entry.type) else {
            throw failure("has type \(entry.type), which is not supported")
        }
        var byteCount = type.bytesPerBlock
        for size in entry.shape {
            guard size >= 0 else { throw failure("has a dimension of \(size)") }
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: size)
            guard !overflow else { throw failure("has shape \(entry.shape), more bytes than 64 bits can count") }
            byteCount = product
        }
        let dataSize = file.size - dataStart
        guard entry.begin >= 0, entry.begin <= entry.end, entry.end <= dataSize else {
            throw failure(
                "lies at bytes \(entry.begin) to \(entry.end) of the data, but the file has \(dataSize) bytes of data"
                    + (entry.end > dataSize ? " (file truncated?)" : ""))
        }
        guard entry.end - entry.begin == byteCount else {
            throw failure(
                "has shape \(entry.shape) of \(type.name), which is \(byteCount) bytes, but its offsets span "
                    + "\(entry.end - entry.begin)")
        }
        return TensorDescriptor(
            name: entry.name, shape: entry.shape, type: type,
            byteRange: dataStart + entry.begin..<dataStart + entry.end)
    }

    private func refuseGaps(dataStart: Int) throws(CheckpointError) {
        var end = dataStart
        for tensor in tensors {
            let start = tensor.byteRange.lowerBound
            guard start == end else {
                throw CheckpointError(
                    file: file.path, tensor: tensor.name,
                    reason: start < end
                        ? "overlaps the tensor before it" : "starts \(start - end) bytes behind the tensor before it")
            }
            end = tensor.byteRange.upperBound
        }
        guard end == file.size else {
            throw CheckpointError(
                file: file.path, reason: "has \(file.size - end) bytes behind its last tensor, which belong to none")
        }
    }
}
