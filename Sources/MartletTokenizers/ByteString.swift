/// Text operations on bytes.
enum ByteString {
    /// `text` with each occurrence of `old`, from left to right, replaced by `new`.
    static func replacing(_ text: [UInt8], _ old: [UInt8], with new: [UInt8]) -> [UInt8] {
        guard let first = old.first, text.count >= old.count else { return text }
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 8)
        text.withUnsafeBufferPointer { text in
            /// Where the text starts that has not been copied yet.
            var start = 0
            var index = 0
            while index < text.count {
                if text[index] == first, text[index...].starts(with: old) {
                    result.append(contentsOf: text[start..<index])
                    result.append(contentsOf: new)
                    index += old.count
                    start = index
                } else {
                    index += 1
                }
            }
            result.append(contentsOf: text[start...])
        }
        return result
    }
}
