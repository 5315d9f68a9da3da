/// How a camera was held (Exif 2.3, tag 0x0112): what has to be done to an image to look at it.
enum ExifOrientation: UInt16 {
    case upright = 1
    case mirrored, upsideDown, flipped, transposed, quarterRight, transversed, quarterLeft

    /// Whether rows and columns change places.
    var swapsSides: Bool { rawValue >= Self.transposed.rawValue }

    /// The orientation that a file gives. Metadata that is damaged, or says nothing, changes nothing.
    init(of file: UnsafeRawBufferPointer, _ format: ImageFormat) {
        let tiff =
            switch format {
            case .jpeg: Self.jpegExif(file)
            case .png: Self.pngExif(file)
            case .webp: Self.webpExif(file)
            }
        self = tiff.flatMap(Self.init(tiff:)) ?? .upright
    }

    /// Reads a TIFF structure: byte order, then the first directory's entries of 12 bytes each.
    private init?(tiff: Slice<UnsafeRawBufferPointer>) {
        let bytes = UnsafeRawBufferPointer(rebasing: tiff)
        let isLittle = bytes.starts(with: [0x49, 0x49, 0x2A, 0])
        guard isLittle || bytes.starts(with: [0x4D, 0x4D, 0, 0x2A]) else { return nil }
        let directory = bytes.integer(at: 4, bytes: 4, isLittle: isLittle) ?? .max
        guard let count = bytes.integer(at: directory, bytes: 2, isLittle: isLittle) else { return nil }
        for entry in 0..<count {
            let offset = directory + 2 + 12 * entry
            guard let tag = bytes.integer(at: offset, bytes: 2, isLittle: isLittle) else { return nil }
            guard tag == 0x0112 else { continue }
            guard bytes.integer(at: offset + 2, bytes: 2, isLittle: isLittle) == 3,  // SHORT
                let value = bytes.integer(at: offset + 8, bytes: 2, isLittle: isLittle)
            else { return nil }
            self.init(rawValue: UInt16(value))
            return
        }
        return nil
    }

    /// JPEG: the segment APP1 that starts with "Exif"; segments end where the picture starts.
    private static func jpegExif(_ file: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer>? {
        var offset = 2
        while let marker = file.integer(at: offset, bytes: 2), marker >= 0xFF00,
            let length = file.integer(at: offset + 2, bytes: 2), length >= 2
        {
            let end = offset + 2 + length
            guard marker != 0xFFDA, end <= file.count else { return nil }
            let body = file[offset + 4..<end]
            if marker == 0xFFE1, body.starts(with: Array("Exif\0\0".utf8)) { return body.dropFirst(6) }
            offset = end
        }
        return nil
    }

    /// PNG: the chunk eXIf.
    private static func pngExif(_ file: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer>? {
        var offset = 8
        while let length = file.integer(at: offset, bytes: 4), offset + 12 + length <= file.count {
            let body = offset + 8..<offset + 8 + length
            if file[offset + 4..<offset + 8].elementsEqual("eXIf".utf8) { return file[body] }
            offset += 12 + length
        }
        return nil
    }

    /// WebP: the chunk EXIF; chunks have an even length. Some writers put JPEG's "Exif" in front.
    private static func webpExif(_ file: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer>? {
        var offset = 12
        while let length = file.integer(at: offset + 4, bytes: 4, isLittle: true), offset + 8 + length <= file.count {
            let body = file[offset + 8..<offset + 8 + length]
            if file[offset..<offset + 4].elementsEqual("EXIF".utf8) {
                return body.starts(with: Array("Exif\0\0".utf8)) ? body.dropFirst(6) : body
            }
            offset += 8 + length + length % 2
        }
        return nil
    }
}

extension Image {
    /// The image turned and mirrored so that it can be looked at.
    func upright(_ orientation: ExifOrientation) -> Image {
        guard orientation != .upright else { return self }
        let (newWidth, newHeight) = orientation.swapsSides ? (height, width) : (width, height)
        let (right, bottom) = (width - 1, height - 1)
        var result: [UInt8] = []
        result.reserveCapacity(pixels.count)
        for y in 0..<newHeight {
            for x in 0..<newWidth {
                let (column, row) =
                    switch orientation {
                    case .upright: (x, y)
                    case .mirrored: (right - x, y)
                    case .upsideDown: (right - x, bottom - y)
                    case .flipped: (x, bottom - y)
                    case .transposed: (y, x)
                    case .quarterRight: (y, bottom - x)
                    case .transversed: (right - y, bottom - x)
                    case .quarterLeft: (right - y, x)
                    }
                let source = (row * width + column) * 3
                result.append(contentsOf: pixels[source..<source + 3])
            }
        }
        return Image(width: newWidth, height: newHeight, pixels: result)
    }
}

extension UnsafeRawBufferPointer {
    /// An unsigned integer of 2 or 4 bytes, or nil where the bytes end before it does.
    fileprivate func integer(at offset: Int, bytes: Int, isLittle: Bool = false) -> Int? {
        guard offset >= 0, offset <= count - bytes else { return nil }
        let range = self[offset..<offset + bytes]
        return isLittle ? range.reversed().reduce(0) { $0 << 8 | Int($1) } : range.reduce(0) { $0 << 8 | Int($1) }
    }
}
