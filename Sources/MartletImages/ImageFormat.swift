/// A file format that we decode, told by the first bytes; names and declared types can lie.
enum ImageFormat: String {
    case jpeg = "JPEG"
    case png = "PNG"
    case webp = "WebP"

    /// - Throws: for anything else, naming it where it is something well known.
    init(of bytes: UnsafeRawBufferPointer) throws(ImageError) {
        func has(_ magic: [UInt8], at offset: Int = 0) -> Bool { bytes.dropFirst(offset).starts(with: magic) }
        if has([0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if has([0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A]) {
            self = .png
        } else if has(Array("RIFF".utf8)), has(Array("WEBP".utf8), at: 8) {
            self = .webp
        } else {
            let others: [(String, [UInt8], Int)] = [
                ("GIF", Array("GIF8".utf8), 0), ("BMP", Array("BM".utf8), 0), ("TIFF", [0x49, 0x49, 0x2A, 0], 0),
                ("TIFF", [0x4D, 0x4D, 0, 0x2A], 0), ("HEIF or AVIF", Array("ftyp".utf8), 4),
                ("PDF", Array("%PDF".utf8), 0), ("SVG or XML", Array("<".utf8), 0),
            ]
            let name = others.first { has($0.1, at: $0.2) }.map { "it looks like \($0.0)" }
            throw ImageError(
                bytes.isEmpty
                    ? "the image is empty" : "the image is no JPEG, PNG or WebP (\(name ?? "unknown first bytes"))")
        }
    }
}
