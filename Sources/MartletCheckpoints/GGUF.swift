/// A GGUF file, versions 2 and 3, little endian. Spec: ggml's `docs/gguf.md`.
///
/// Layout: magic, version, number of tensors, number of metadata entries, the entries, the tensor table, padding, the
/// tensors' data. Opening a file reads everything but the data, and checks every count, length and offset against the
/// file's size before it is used; strings and arrays stay in the mapped file.
package struct GGUF: Sendable {
    package let file: MappedFile
    /// 2 or 3; they differ only in what we refuse (version 3 may be big endian).
    package let version: Int
    /// Tensors start at multiples of this many bytes, counted from the start of the data section.
    package let alignment: Int
    package let metadata: Metadata
    /// In the order of the file's table.
    package let tensors: [TensorDescriptor]

    package init(path: String) throws(CheckpointError) {
        try self.init(file: MappedFile(path: path))
    }

    package init(file: MappedFile) throws(CheckpointError) {
        var cursor = ByteCursor(file)
        let version = try Self.readVersion(&cursor)
        // The smallest entry: key length, one-byte value type, … ; the smallest tensor: name length, rank, one dimension,
        // type, offset. They bound the counts by the file's size before anything is allocated.
        let tensorCount = try cursor.count("the number of tensors", limit: Limits.tensors, elementSize: 32)
        let entryCount = try cursor.count(
            "the number of metadata entries", limit: Limits.metadataEntries, elementSize: 13)
        let metadata = try Metadata(reading: &cursor, entryCount: entryCount)
        let alignment = try Self.alignment(metadata)
        tensors = try Self.readTensors(&cursor, count: tensorCount, alignment: alignment)
        self.file = file
        self.version = version
        self.alignment = alignment
        self.metadata = metadata
    }

    private static func readVersion(_ cursor: inout ByteCursor) throws(CheckpointError) -> Int {
        let path = cursor.file.path
        let magic: UInt32 = 0x4655_4747  // "GGUF"
        guard cursor.remaining >= 4, try cursor.integer(UInt32.self, "the magic number") == magic else {
            throw CheckpointError(file: path, reason: "is not a GGUF file: it does not start with 'GGUF'")
        }
        let version = try cursor.integer(UInt32.self, "the version")
        switch version {
        case 2, 3: return Int(version)
        case 1: throw CheckpointError(file: path, reason: "GGUF version 1 is not supported; convert it to version 3")
        case _ where version.byteSwapped == 2 || version.byteSwapped == 3:
            throw CheckpointError(file: path, reason: "is a big-endian GGUF file; only little endian is supported")
        default: throw CheckpointError(file: path, reason: "GGUF version \(version) is unknown; 2 and 3 are supported")
        }
    }

    private static func alignment(_ metadata: Metadata) throws(CheckpointError) -> Int {
        let key = "general.alignment"
        guard let alignment = try metadata.integer(key) else { return 32 }
        // The spec asks for a multiple of 8; with a power of two, padding is a mask.
        guard alignment >= 8, alignment <= Limits.alignment, alignment.nonzeroBitCount == 1 else {
            throw metadata.failure(key, "is \(alignment), not a power of two from 8 to \(Limits.alignment)")
        }
        return alignment
    }
}

extension GGUF {
    /// What a file may claim. Each is far above any real file, and low enough that a hostile one costs little.
    enum Limits {
        /// The largest published models have a few thousand.
        static let tensors = 100_000
        /// Real files have under a hundred.
        static let metadataEntries = 65_536
        /// The spec's own limit.
        static let keyLength = 65_535
        /// ggml keeps 64 bytes; other writers may be more generous.
        static let tensorNameLength = 256
        /// The longest known strings are whole `tokenizer.json` files, some 35 MB.
        static let stringLength = 1 << 28
        /// The longest known arrays are vocabularies and merges, some 500,000.
        static let arrayCount = 1 << 24
        /// ggml's own limit.
        static let dimensions = 4
        /// The largest page of any machine we run on; real files have 32.
        static let alignment = 1 << 16
    }
}
