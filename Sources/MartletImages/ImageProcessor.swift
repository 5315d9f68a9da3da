/// Makes of an image what the model was trained to see, as the model's reference image processor does: the samples are
/// equal, as the steps are the same and resizing is Pillow's.
package struct ImageProcessor: Sendable {
    package let configuration: ImageProcessorConfiguration
    package let patchSize: Int
    /// (sample · rescaleFactor - mean) / std for each channel's 256 samples.
    private let normalized: [[Float]]

    /// - Parameter patchSize: the vision tower's.
    /// - Throws: `ImageError` if the file says another one.
    package init(_ configuration: ImageProcessorConfiguration, patchSize: Int) throws(ImageError) {
        precondition(patchSize > 0)
        if let said = configuration.patchSize, said != patchSize {
            throw ImageError(
                "patch_size is \(said), but the vision tower's patches have \(patchSize)")
        }
        self.configuration = configuration
        self.patchSize = patchSize
        // Samples are rescaled in double precision and normalized in single, as in the reference.
        normalized = zip(configuration.mean, configuration.std).map { mean, std in
            (0..<256).map { (Float(Double($0) * configuration.rescaleFactor) - Float(mean)) / Float(std) }
        }
    }

    /// - Throws: `ImageError` for an image whose shape the model can't see.
    package func callAsFunction(_ image: Image) throws(ImageError) -> ImagePatches {
        try checkProportions(image)
        var image = configuration.padsToSquare ? image.paddedToSquare(mean: configuration.mean) : image
        let size = targetSize(width: image.width, height: image.height)
        guard size.width * size.height <= ImageProcessorConfiguration.largestArea else {
            throw ImageError("the image would be resized to \(size.width) x \(size.height) pixels, which is too large")
        }
        image = image.resized(width: size.width, height: size.height, configuration.filter)
        if let crop = configuration.crop { image = image.cropped(width: crop.width, height: crop.height) }
        let unit = patchSize * configuration.mergeSize
        guard image.width % unit == 0, image.height % unit == 0 else {
            throw ImageError(
                "the image processor makes images of \(image.width) x \(image.height), which can't be cut into "
                    + "squares of \(unit)")
        }
        return ImagePatches(
            of: image, patchSize: patchSize, mergeSize: configuration.mergeSize,
            temporalPatchSize: configuration.temporalPatchSize, normalized: normalized)
    }

    /// Longer side of an image for one of its shorter side, at most. Beyond that the reference of Qwen2-VL refuses an image;
    /// CLIP's would spend gigabytes on it and cut nearly all of it off.
    private static let largestAspectRatio = 200
    /// Side of a square that an image is padded to, at most: 300 MB.
    private static let largestSquare = 10_000

    private func checkProportions(_ image: Image) throws(ImageError) {
        let (shorter, longer) = (min(image.width, image.height), max(image.width, image.height))
        guard longer / shorter <= Self.largestAspectRatio,
            !configuration.padsToSquare || longer <= Self.largestSquare
        else {
            throw ImageError(
                "the image is \(image.width) x \(image.height) pixels large, which is too long for this model")
        }
    }

    /// The size that an image is resized to.
    func targetSize(width: Int, height: Int) -> ImageProcessorConfiguration.Size {
        switch configuration.resizing {
        case .none: return .init(width: width, height: height)
        case .exact(let size): return size
        case .shortestEdge(let edge):
            let longer = edge * max(width, height) / min(width, height)
            return width < height ? .init(width: edge, height: longer) : .init(width: longer, height: edge)
        case .area(let area): return areaSize(width: width, height: height, area)
        }
    }

    /// `smart_resize` of Qwen2-VL (Wang et al. 2024): the nearest multiples of a merged patch; if they leave the range, the
    /// largest or smallest that don't, in the image's proportions.
    private func areaSize(width: Int, height: Int, _ area: ClosedRange<Int>) -> ImageProcessorConfiguration.Size {
        let unit = patchSize * configuration.mergeSize
        func multiple(_ length: Double, _ rule: FloatingPointRoundingRule) -> Int {
            Int((length / Double(unit)).rounded(rule)) * unit
        }
        let (w, h) = (Double(width), Double(height))
        let size = (multiple(w, .toNearestOrEven), multiple(h, .toNearestOrEven))
        if size.0 * size.1 > area.upperBound {
            let shrink = (w * h / Double(area.upperBound)).squareRoot()
            return .init(
                width: max(unit, multiple(w / shrink, .down)), height: max(unit, multiple(h / shrink, .down)))
        } else if size.0 * size.1 < area.lowerBound {
            let grow = (Double(area.lowerBound) / (w * h)).squareRoot()
            return .init(width: multiple(w * grow, .up), height: multiple(h * grow, .up))
        }
        return .init(width: size.0, height: size.1)
    }
}

extension Image {
    /// The middle of the image; what the image lacks is black.
    func cropped(width newWidth: Int, height newHeight: Int) -> Image {
        if (newWidth, newHeight) == (width, height) { return self }
        // Half of the difference, rounded down, also where it is negative.
        let canvas = Image(
            width: newWidth, height: newHeight, pixels: [UInt8](repeating: 0, count: newWidth * newHeight * 3))
        return canvas.covered(by: self, left: -((width - newWidth) >> 1), top: -((height - newHeight) >> 1))
    }

    /// The image in the middle of a square of the mean color.
    func paddedToSquare(mean: [Double]) -> Image {
        guard width != height else { return self }
        let side = max(width, height)
        let color = mean.map { UInt8(clamping: Int(($0 * 255).clamped(to: 0...255))) }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(side * side * 3)
        for _ in 0..<side * side { pixels += color }
        return Image(width: side, height: side, pixels: pixels)
            .covered(by: self, left: (side - width) / 2, top: (side - height) / 2)
    }

    /// With another image drawn over it, whose corner lies at (left, top); what sticks out is cut off.
    private func covered(by other: Image, left: Int, top: Int) -> Image {
        var result = pixels
        let columns = max(left, 0)..<max(min(left + other.width, width), max(left, 0))
        for y in max(top, 0)..<max(min(top + other.height, height), max(top, 0)) where !columns.isEmpty {
            let source = ((y - top) * other.width + columns.lowerBound - left) * 3
            let target = (y * width + columns.lowerBound) * 3
            result.replaceSubrange(
                target..<target + columns.count * 3, with: other.pixels[source..<source + columns.count * 3])
        }
        return Image(width: width, height: height, pixels: result)
    }
}

extension Double {
    fileprivate func clamped(to range: ClosedRange<Double>) -> Double {
        Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
    }
}
