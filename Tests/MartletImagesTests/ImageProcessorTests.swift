import Foundation
import MartletImages
import TestSupport
import Testing

@Suite struct ImageProcessorTests {
    /// The configurations that `make_fixtures.py` gave to transformers.
    static func configuration(_ name: String) throws -> ImageProcessorConfiguration {
        try ImageProcessorConfiguration(json: Fixture.data("processors/\(name).json"))
    }

    @Test(arguments: Fixture.all.processed)
    func `values are those of transformers`(expected: Fixture.Processed) throws {
        let processor = try ImageProcessor(Self.configuration(expected.name), patchSize: 14)
        let patches = try processor(Fixture.image(expected.file))
        try Self.compare(patches, Fixture.floats(expected), shape: expected.shape, patchSize: 14)
    }

    /// The tiny models of `shared/fixtures` and their images.
    @Test(
        .enabled(if: SharedFixtures.url("models/llava15") != nil, "shared/fixtures is absent"),
        arguments: [("llava15", 14), ("qwen2_5_vl", 14), ("qwen3_vl", 16)])
    func `pixel values are the reference's`(model: String, patchSize: Int) throws {
        let folder = try #require(SharedFixtures.url("models/\(model)"))
        let configuration = try ImageProcessorConfiguration(
            json: Data(contentsOf: folder.appending(path: "preprocessor_config.json")))
        let processor = try ImageProcessor(configuration, patchSize: patchSize)
        let reference = try ReferenceTensors(folder.appending(path: "ref.safetensors"))
        for image in 0...1 {
            let patches = try processor(Image(contentsOf: folder.appending(path: "image\(image).png").path))
            let (values, shape) = try reference.floats("case\(image + 1).pixel_values")
            try Self.compare(patches, values, shape: shape, patchSize: patchSize)
            guard let (grid, _) = try? reference.integers("case\(image + 1).image_grid_thw") else { continue }
            #expect(grid == [1, Int64(patches.gridHeight), Int64(patches.gridWidth)])
        }
    }

    /// Issue 5 asks for 2/255 at most and 0.2/255 on average, for processors that resize in other ways. As every step here
    /// is the reference's, only the rounding of float32 is left: a hundred-thousandth of that.
    static func compare(_ patches: ImagePatches, _ expected: [Float], shape: [Int], patchSize: Int) throws {
        // CLIP's values are `[image, channel, y, x]`, Qwen-VL's are patches already.
        let values = shape.count == 4 ? patches.unfolded(patchSize: patchSize) : patches.values
        if shape.count == 2 { #expect(shape == [patches.count, patches.width]) }
        try #require(values.count == expected.count)
        let differences = zip(values, expected).map { abs($0 - $1) }
        #expect(differences.max() ?? 0 <= 2e-6)
    }

    @Test(arguments: [
        ("[]", "can't be read"), ("{", "can't be read"), (#"{"size": "large"}"#, "can't be read"),
        (#"{"image_processor_type": "PixtralImageProcessor"}"#, "is not known"),
        (#"{"resample": 0}"#, "resample 0"), (#"{"size": {"width": 4}}"#, "size needs"),
        (#"{"crop_size": {"width": 4}}"#, "crop_size needs"), (#"{"size": 0}"#, "size is 0"),
        (#"{"size": 100000}"#, "size is 100000"), (#"{"crop_size": -1}"#, "crop_size is -1"),
        (#"{"image_mean": [1, 2]}"#, "three numbers"), (#"{"image_std": [1, 0, 1]}"#, "three numbers"),
        (#"{"image_processor_type": "Qwen2VLImageProcessor", "merge_size": 0}"#, "merge_size is 0"),
        (#"{"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 1000000000000}"#, "patch_size is"),
        (#"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 9, "max_pixels": 3}"#, "no range"),
    ])
    func `a wrong configuration is a clear error`(json: String, message: String) {
        let error = #expect(throws: ImageError.self) { try ImageProcessorConfiguration(json: Data(json.utf8)) }
        #expect(error?.reason.contains(message) == true, "\(String(describing: error))")
    }

    @Test func `other ages of the file mean the same`() throws {
        func read(_ json: String) throws -> ImageProcessorConfiguration { try .init(json: Data(json.utf8)) }
        #expect(
            try read(#"{"size": 336, "crop_size": 336}"#)
                == read(#"{"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}"#))
        #expect(
            try read(#"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 9408}"#)
                == read(
                    #"{"image_processor_type": "Qwen2VLImageProcessorFast", "size": {"shortest_edge": 3136, "longest_edge": 9408}}"#
                ))
    }

    @Test func `patches must be the vision tower's`() throws {
        let qwen = try Self.configuration("qwen")
        #expect(throws: ImageError.self) { try ImageProcessor(qwen, patchSize: 16) }
        // 28 pixels can't be cut into patches of 13.
        let clip = try ImageProcessor(Self.configuration("clip"), patchSize: 13)
        #expect(throws: ImageError.self) { try clip(Fixture.image("rgb.png")) }
    }

    @Test(arguments: ["clip", "qwen", "llava-pad"])
    func `an image that is all length is refused`(name: String) throws {
        let processor = try ImageProcessor(Self.configuration(name), patchSize: 14)
        let line = Image(width: 20_000, height: 1, pixels: [UInt8](repeating: 9, count: 60_000))
        #expect(throws: ImageError.self) { try processor(line) }
    }
}

extension ImagePatches {
    /// The values as an image, `[channel][y][x]`, where a patch has one frame and patches are in the order of reading.
    fileprivate func unfolded(patchSize: Int) -> [Float] {
        let (height, width) = (gridHeight * patchSize, gridWidth * patchSize)
        return (0..<3 * height * width).map { index in
            let (channel, y, x) = (index / (height * width), index / width % height, index % width)
            let patch = y / patchSize * gridWidth + x / patchSize
            return values[patch * self.width + (channel * patchSize + y % patchSize) * patchSize + x % patchSize]
        }
    }
}
