import Foundation
import MartletImages

extension FuzzTarget {
    /// The bytes are a JPEG, PNG or WebP file, decoded and made ready for vision towers.
    static let image = FuzzTarget(name: "image", longest: 16384) {
        try fixtures("MartletImagesTests/Fixtures/images", longest: 16384)
    } read: { bytes in
        do {
            let image = try Image(decoding: Data(bytes), limits: ImageLimits(bytes: 1 << 16, pixels: 1 << 16))
            precondition(image.pixels.count == image.width * image.height * 3)
            for processor in processors {
                do {
                    consume(try processor(image).count)
                } catch {
                    precondition(!"\(error)".isEmpty)
                }
            }
        } catch {
            precondition(!"\(error)".isEmpty)
        }
    }

    private static let processors: [ImageProcessor] = ["clip-small", "llava-pad", "qwen"].map { name in
        do {
            let file = try fixture("MartletImagesTests/Fixtures/processors/\(name).json")
            let configuration = try ImageProcessorConfiguration(json: file)
            return try ImageProcessor(configuration, patchSize: configuration.patchSize ?? 14)
        } catch {
            fatalError("\(error)")
        }
    }
}
