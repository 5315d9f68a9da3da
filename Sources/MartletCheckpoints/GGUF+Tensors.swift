extension GGUF {
    /// A row of the tensor table whose data range is not known yet: the data section starts after the last row.
    private struct TableRow {
        let name: String
        let shape: [Int]
        let type: TensorType
        /// From the start of the data section.
        let offset: UInt64
        let byteCount: Int
    }

    static func readTensors(
        _ cursor: inout ByteCursor, count: Int, alignment: Int
    ) throws(CheckpointError) -> [TensorDescriptor] {
        var table: [TableRow] = []
        table.reserveCapacity(count)
        var names = Set<String>(minimumCapacity: count)
        for _ in 0..<count {
            let name = try cursor.text("a tensor's name", limit: Limits.tensorNameLength)
            do throws(CheckpointError) {
                guard !name.isEmpty else { throw cursor.failure("a tensor has no name") }
                guard names.insert(name).inserted else { throw cursor.failure("is there twice") }
                table.append(try readRow(&cursor, name: name))
            } catch {
                throw CheckpointError(file: error.file, tensor: name, reason: error.reason)
            }
        }
        // No overflow: a position is at most the file's size, and files are smaller than 2^63 - 2^16 bytes.
        let dataStart = (cursor.position + alignment - 1) & ~(alignment - 1)
        let tensors = try table.map { (row) throws(CheckpointError) in
            try place(row, dataStart: dataStart, alignment: alignment, file: cursor.file)
        }
        try refuseOverlaps(tensors, file: cursor.file)
        return tensors
    }

    private static func readRow(_ cursor: inout ByteCursor, name: String) throws(CheckpointError) -> TableRow {
        let rank = try cursor.integer(UInt32.self, "the number of dimensions")
        guard (1...UInt32(Limits.dimensions)).contains(rank) else {
            throw cursor.failure("has \(rank) dimensions, not 1 to \(Limits.dimensions)")
        }
        var shape: [Int] = []
        var elements = 1
        for _ in 0..<rank {
            let dimension = try cursor.integer(UInt64.self, "a dimension")
            guard let size = Int(exactly: dimension), size > 0 else {
                throw cursor.failure("has a dimension of \(dimension)")
            }
            let (product, overflow) = elements.multipliedReportingOverflow(by: size)
            guard !overflow else { throw cursor.failure("has more elements than 64 bits can count") }
            elements = product
            // The file lists the innermost dimension first.
            shape.insert(size, at: 0)
        }
        let type = try readType(&cursor)
        let offset = try cursor.integer(UInt64.self, "a tensor's offset")
        let columns = shape[shape.count - 1]
        guard columns % type.blockSize == 0 else {
            throw cursor.failure("has rows of \(columns) elements, not a multiple of \(type.name)'s \(type.blockSize)")
        }
        let (byteCount, overflow) = (elements / type.blockSize).multipliedReportingOverflow(by: type.bytesPerBlock)
        guard !overflow else { throw cursor.failure("has more bytes than 64 bits can count") }
        return TableRow(name: name, shape: shape, type: type, offset: offset, byteCount: byteCount)
    }

    private static func readType(_ cursor: inout ByteCursor) throws(CheckpointError) -> TensorType {
        let raw = try cursor.integer(UInt32.self, "a tensor's type")
        guard let type = TensorType(ggmlType: raw) else {
            let supported = TensorType.ggmlTypes.map(\.name).joined(separator: ", ")
            let name = TensorType.unsupportedName(ggmlType: raw).map { "type \($0)" } ?? "unknown type \(raw)"
            throw cursor.failure("has \(name), which is not supported as a weight (supported: \(supported))")
        }
        return type
    }

    /// The row's place in the file, checked.
    private static func place(
        _ row: TableRow, dataStart: Int, alignment: Int, file: MappedFile
    ) throws(CheckpointError) -> TensorDescriptor {
        func failure(_ reason: String) -> CheckpointError {
            CheckpointError(file: file.path, tensor: row.name, reason: reason)
        }
        guard row.offset % UInt64(alignment) == 0 else {
            throw failure("starts at offset \(row.offset), not a multiple of the alignment \(alignment)")
        }
        guard let offset = Int(exactly: row.offset), dataStart <= file.size, offset <= file.size - dataStart,
            row.byteCount <= file.size - dataStart - offset
        else {
            throw failure(
                "needs \(row.byteCount) bytes at offset \(row.offset) of the data section at \(dataStart), "
                    + "but the file has \(file.size) (file truncated?)")
        }
        let start = dataStart + offset
        return TensorDescriptor(
            name: row.name, shape: row.shape, type: row.type, byteRange: start..<start + row.byteCount)
    }

    /// Gaps and any order are fine; two tensors that share bytes are not.
    private static func refuseOverlaps(_ tensors: [TensorDescriptor], file: MappedFile) throws(CheckpointError) {
        let sorted = tensors.sorted { $0.byteRange.lowerBound < $1.byteRange.lowerBound }
        for (left, right) in zip(sorted, sorted.dropFirst())
        where right.byteRange.lowerBound < left.byteRange.upperBound {
            throw CheckpointError(file: file.path, tensor: right.name, reason: "overlaps tensor '\(left.name)'")
        }
    }
}
