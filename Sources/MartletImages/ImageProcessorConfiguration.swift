package import Foundation

/// What an image goes through before a vision tower sees it, as `preprocessor_config.json` says. What the file leaves out
/// has the default of the reference's class.
package struct ImageProcessorConfiguration: Sendable, Equatable {
    package struct Size: Sendable, Equatable {
        package var width: Int
        package var height: Int
    }

    package enum Resizing: Sendable, Equatable {
        case none
        /// The shorter side becomes this long; the other one keeps the proportions.
        case shortestEdge(Int)
        case exact(Size)
        /// Sides become multiples of what merged patches cover, and the area stays between bounds (Qwen2-VL).
        case area(ClosedRange<Int>)
    }

    package var resizing: Resizing
    package var filter: ResamplingFilter
    /// The middle that is cut out of the image; what the image lacks of it is black.
    package var crop: Size?
    /// The image is put into the middle of a square of the mean color first.
    package var padsToSquare: Bool
    /// value = (sample · rescaleFactor - mean) / std, per channel.
    package var rescaleFactor: Double
    package var mean: [Double]
    package var std: [Double]
    /// Pixels of a patch's side; nil where only the model says so.
    package var patchSize: Int?
    /// Patches of the side of a square that the vision tower merges into one token.
    package var mergeSize: Int
    /// Frames that a patch covers: an image is repeated.
    package var temporalPatchSize: Int

    /// Reads the file.
    ///
    /// - Throws: `ImageError` for what is no such file, or asks for something that we don't do.
    package init(json: Data) throws(ImageError) {
        let file: File
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            // Newer releases of transformers put it into processor_config.json, beside other processors.
            file = try decoder.decode(Wrapper.self, from: json).imageProcessor ?? decoder.decode(File.self, from: json)
        } catch {
            throw ImageError("can't be read: \(error)")
        }
        try self.init(file)
    }

    private init(_ file: File) throws(ImageError) {
        let type = file.imageProcessorType ?? ""
        let isQwen = type.contains("Qwen") || (type.isEmpty && file.mergeSize != nil)
        guard isQwen || type.isEmpty || type.hasPrefix("CLIP") || type.hasPrefix("Llava") else {
            throw ImageError(
                "image_processor_type '\(type)' is not known; known are CLIPImageProcessor, "
                    + "LlavaImageProcessor, Qwen2VLImageProcessor, Qwen3VLImageProcessor")
        }
        guard let filter = ResamplingFilter(rawValue: file.resample ?? ResamplingFilter.bicubic.rawValue) else {
            throw ImageError("resample \(file.resample ?? 0) is not supported")
        }
        self.filter = filter
        resizing =
            switch (file.doResize ?? true, isQwen) {
            case (false, _): .none
            case (true, true): try Self.area(file)
            case (true, false): try Self.edge(file)
            }
        crop = nil
        if !isQwen, file.doCenterCrop ?? true {
            switch file.cropSize ?? .number(224) {
            case .number(let side): crop = Size(width: side, height: side)
            case .sides(let sides):
                guard let width = sides.width, let height = sides.height else {
                    throw ImageError("crop_size needs height and width")
                }
                crop = Size(width: width, height: height)
            }
        }
        padsToSquare = !isQwen && file.doPad ?? false
        rescaleFactor = file.doRescale ?? true ? file.rescaleFactor ?? 1 / 255 : 1
        // OpenAI's CLIP.
        mean = file.imageMean ?? [0.48145466, 0.4578275, 0.40821073]
        std = file.imageStd ?? [0.26862954, 0.26130258, 0.27577711]
        if file.doNormalize == false { (mean, std) = ([0, 0, 0], [1, 1, 1]) }
        patchSize = isQwen ? file.patchSize ?? 14 : file.patchSize
        mergeSize = isQwen ? file.mergeSize ?? 2 : 1
        temporalPatchSize = isQwen ? file.temporalPatchSize ?? 2 : 1
        try validate()
    }

    private static func area(_ file: File) throws(ImageError) -> Resizing {
        guard case .sides(let sides) = file.size ?? .sides(.init()) else {
            throw ImageError("size needs shortest_edge and longest_edge")
        }
        // Named edges, but meant as areas; the older names go first.
        let minimum = file.minPixels ?? sides.shortestEdge ?? 56 * 56
        let maximum = file.maxPixels ?? sides.longestEdge ?? 28 * 28 * 1280
        guard minimum > 0, minimum <= maximum else {
            throw ImageError("min_pixels \(minimum) and max_pixels \(maximum) make no range")
        }
        return .area(min(minimum, largestArea)...min(maximum, largestArea))
    }

    private static func edge(_ file: File) throws(ImageError) -> Resizing {
        switch file.size ?? .number(224) {
        case .number(let edge): return .shortestEdge(edge)
        case .sides(let sides):
            if let edge = sides.shortestEdge, sides.longestEdge == nil { return .shortestEdge(edge) }
            guard let width = sides.width, let height = sides.height else {
                throw ImageError("size needs shortest_edge, or height and width")
            }
            return .exact(Size(width: width, height: height))
        }
    }

    /// Pixels of an image that a vision tower is given, at most; no model's maximum is larger than Qwen3-VL's.
    package static let largestArea = 1 << 24

    private func validate() throws(ImageError) {
        func check(_ name: String, _ length: Int, _ allowed: ClosedRange<Int>) throws(ImageError) {
            guard !allowed.contains(length) else { return }
            throw ImageError(
                "\(name) is \(length), not between \(allowed.lowerBound) and "
                    + "\(allowed.upperBound)")
        }
        try check("patch_size", patchSize ?? 1, 1...256)
        try check("merge_size", mergeSize, 1...16)
        try check("temporal_patch_size", temporalPatchSize, 1...4)
        let sides = 1...4096
        if let crop {
            try check("crop_size", crop.width, sides)
            try check("crop_size", crop.height, sides)
        }
        switch resizing {
        case .none, .area: break
        case .shortestEdge(let edge): try check("size", edge, sides)
        case .exact(let size):
            try check("size", size.width, sides)
            try check("size", size.height, sides)
        }
        guard mean.count == 3, std.count == 3, (mean + std + [rescaleFactor]).allSatisfy(\.isFinite), !std.contains(0)
        else { throw ImageError("image_mean and image_std need three numbers each") }
    }

    /// The file as it is written.
    private struct File: Decodable {
        var imageProcessorType: String?
        var doResize, doCenterCrop, doPad, doRescale, doNormalize: Bool?
        var size, cropSize: Length?
        var resample: Int?
        var rescaleFactor: Double?
        var imageMean, imageStd: [Double]?
        var minPixels, maxPixels: Int?
        var patchSize, mergeSize, temporalPatchSize: Int?
    }

    private struct Wrapper: Decodable {
        var imageProcessor: File?
    }

    private struct Sides: Decodable {
        var width, height, shortestEdge, longestEdge: Int?
    }

    /// Files of different ages write a size as a number or as an object.
    private enum Length: Decodable {
        case number(Int)
        case sides(Sides)

        init(from decoder: any Decoder) throws {
            if let number = try? decoder.singleValueContainer().decode(Int.self) {
                self = .number(number)
            } else {
                self = .sides(try Sides(from: decoder))
            }
        }
    }
}
