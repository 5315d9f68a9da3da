import Foundation
import MartletCPU
package import MartletCheckpoints
import MartletGraph
import MartletImages
import MartletModels

extension ModelOutline {
    /// Whether the model sees images.
    package var hasVision: Bool { model.vision != nil }

    /// Makes the vision tower ready to run; nil in models that don't see. It has workers of its own, so that it can run
    /// while the language model does.
    ///
    /// - Parameter maxPixels: of an image.
    /// - Throws: `CheckpointError` where the folder does not say how images are prepared.
    package func compileVision(_ checkpoint: Checkpoint, maxPixels: Int = LoadOptions().maxImagePixels) throws
        -> VisionRunner?
    {
        guard let vision = model.vision else { return nil }
        let (configuration, path) = try Self.processorConfiguration(checkpoint)
        do {
            var configuration = configuration
            let rows = vision.fixedRows ?? configuration.limit(patches: Self.mostPatches, of: vision)
            guard configuration.mergeSize == vision.mergeSize,
                3 * configuration.temporalPatchSize * vision.patchSize * vision.patchSize == vision.patchWidth
            else {
                throw ImageError(
                    "merge_size \(configuration.mergeSize) or temporal_patch_size \(configuration.temporalPatchSize) is not "
                        + "the vision tower's")
            }
            let processor = try ImageProcessor(configuration, patchSize: vision.patchSize)
            // K and V of the tower stay in float32: they are read once, and what they cost is nothing beside the rest.
            let options = CompileOptions(
                limits: StepLimits(tokens: rows.step, sampled: rows.result, requests: 1), kvRows: rows.step,
                kvType: .f32)
            var limits = ImageLimits.default
            limits.pixels = maxPixels
            return VisionRunner(
                vision, processor, try backend.compile(vision.trace(), options: options) { _ in }, limits: limits)
        } catch let error as ImageError {
            throw CheckpointError(file: path, reason: error.reason)
        }
    }

    /// Patches of one image, at most: 3 megapixels of Qwen2.5-VL, which become 4,096 tokens. More would take gigabytes.
    package static let mostPatches = 16_384

    private static func processorConfiguration(
        _ checkpoint: Checkpoint
    ) throws -> (configuration: ImageProcessorConfiguration, path: String) {
        guard case .folder(let folder) = checkpoint.source else {
            throw CheckpointError(file: checkpoint.path, reason: "has nothing that says how images are prepared")
        }
        for name in ["preprocessor_config.json", "processor_config.json"] {
            guard let bytes = try folder.bytes(of: name, sizeLimit: 1 << 20) else { continue }
            let path = folder.path + "/" + name
            do {
                return (try ImageProcessorConfiguration(json: Data(bytes)), path)
            } catch {
                throw CheckpointError(file: path, reason: error.reason)
            }
        }
        throw CheckpointError(
            file: folder.path, reason: "has no preprocessor_config.json, which says how images are prepared")
    }
}

extension ImageProcessorConfiguration {
    /// Makes sure that no image gets more patches.
    ///
    /// - Returns: rows of the tower's step and of its result, at most.
    fileprivate mutating func limit(patches: Int, of vision: any VisionModel) -> (step: Int, result: Int) {
        let pixels = vision.patchSize * vision.patchSize
        if case .area(let area) = resizing {
            let largest = min(area.upperBound, patches * pixels)
            resizing = .area(min(area.lowerBound, largest)...largest)
        }
        return (patches, patches / (vision.mergeSize * vision.mergeSize))
    }
}
