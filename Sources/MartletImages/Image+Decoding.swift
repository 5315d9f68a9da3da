import CImageCodecs
package import Foundation

extension Image {
    /// Decodes a JPEG, PNG or WebP file.
    ///
    /// The result is what the reference image processors see, `exif_transpose(image).convert("RGB")` in Pillow: turned
    /// upright as its EXIF says, alpha dropped, palettes and gray levels spread to RGB, 16 bits cut to 8, CMYK converted.
    ///
    /// - Throws: `ImageError` for other formats, images beyond the limits, and files that are damaged or cut short.
    package init(decoding file: Data, limits: ImageLimits = .default) throws(ImageError) {
        guard file.count <= limits.bytes else {
            throw ImageError("the image has \(file.count) bytes, more than the limit of \(limits.bytes)")
        }
        // `withUnsafeBytes` rethrows any error; this keeps ours typed.
        let result = file.withUnsafeBytes { bytes in
            Result { () throws(ImageError) in try Image(bytes, limits) }
        }
        self = try result.get()
    }

    /// Reads and decodes a file.
    ///
    /// - Throws: `ImageError` that names the file.
    package init(contentsOf path: String, limits: ImageLimits = .default) throws(ImageError) {
        do {
            let handle = try FileHandle(forReadingFrom: URL(filePath: path))
            defer { try? handle.close() }
            // Never more than the limit and a byte, whatever kind of file this is.
            let file = try handle.read(upToCount: limits.bytes + 1) ?? Data()
            self = try Image(decoding: file, limits: limits)
        } catch let error as ImageError {
            throw ImageError("\(path): \(error.reason)")
        } catch {
            throw ImageError("\(path): can't be read: \(error.localizedDescription)")
        }
    }

    private init(_ bytes: UnsafeRawBufferPointer, _ limits: ImageLimits) throws(ImageError) {
        let format = try ImageFormat(of: bytes)
        let data = bytes.assumingMemoryBound(to: UInt8.self).baseAddress
        var size = ci_size()
        try format.check { format.readSize(data, bytes.count, &size, $0) }
        let (width, height) = (Int(size.width), Int(size.height))
        guard width > 0, height > 0 else { throw ImageError("the \(format.rawValue) image has no pixels") }
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, count <= limits.pixels else {
            throw ImageError(
                "the image is \(width) x \(height) pixels large, more than the limit of \(limits.pixels) in all")
        }
        var failure: ImageError?
        let pixels = [UInt8](unsafeUninitializedCapacity: count * 3) { buffer, initialized in
            // A file that fails half way leaves rows unwritten.
            buffer.initialize(repeating: 0)
            initialized = count * 3
            do throws(ImageError) {
                try format.check { format.decode(data, bytes.count, size, buffer.baseAddress, $0) }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        let orientation = ExifOrientation(of: bytes, format)
        self = Image(width: width, height: height, pixels: pixels).upright(orientation)
    }
}

extension ImageFormat {
    fileprivate var readSize:
        (UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<ci_size>?, UnsafeMutablePointer<CChar>?) -> Int32
    {
        switch self {
        case .jpeg: ci_jpeg_size
        case .png: ci_png_size
        case .webp: ci_webp_size
        }
    }

    fileprivate var decode:
        (UnsafePointer<UInt8>?, Int, ci_size, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<CChar>?) -> Int32
    {
        switch self {
        case .jpeg: ci_jpeg_decode
        case .png: ci_png_decode
        case .webp: ci_webp_decode
        }
    }

    /// Calls a codec, and throws what it says went wrong.
    fileprivate func check(_ call: (UnsafeMutablePointer<CChar>?) -> Int32) throws(ImageError) {
        var message = [CChar](repeating: 0, count: CI_MESSAGE)
        let isDone = message.withUnsafeMutableBufferPointer { call($0.baseAddress) }
        guard isDone == 0 else { return }
        let text = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        throw ImageError("the \(rawValue) image can't be decoded: \(text)")
    }
}
