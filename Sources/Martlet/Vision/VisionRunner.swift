package import Foundation
package import MartletGraph
package import MartletImages
package import MartletModels

/// A vision tower that is ready to run, with what prepares images for it. Not thread-safe: the model's `ImageEncoder` owns it.
package final class VisionRunner {
    package let model: any VisionModel
    private let processor: ImageProcessor
    private let compiled: any CompiledModel
    private let limits: ImageLimits
    private let input: StepInput
    /// The tower's K and V lie in order, `[limits.tokens]`.
    private let table: UnsafeMutablePointer<Int32>

    package init(
        _ model: any VisionModel, _ processor: ImageProcessor, _ compiled: any CompiledModel,
        limits: ImageLimits = .default
    ) {
        self.model = model
        self.processor = processor
        self.compiled = compiled
        self.limits = limits
        input = StepInput(limits: compiled.limits)
        table = .allocate(capacity: compiled.limits.tokens)
        for row in 0..<compiled.limits.tokens { table[row] = Int32(truncatingIfNeeded: row) }
    }

    deinit { table.deallocate() }

    /// Decodes an image file, prepares it as the model wants it, and runs it through the tower.
    ///
    /// - Throws: `EngineError` for what is no image, or none that the model can see.
    package func encode(_ file: Data) throws(EngineError) -> ImageFeatures {
        do {
            return try encode(processor(Image(decoding: file, limits: limits)))
        } catch let error as ImageError {
            throw EngineError(.invalidPrompt, error.reason, parameter: "image")
        } catch let error as VisionError {
            throw EngineError(.invalidPrompt, error.description, parameter: "image")
        } catch {
            throw EngineError(.invalidPrompt, "the image can't be used: \(error)", parameter: "image")
        }
    }

    private func encode(_ patches: ImagePatches) throws -> ImageFeatures {
        let step = try model.input(patches)
        guard step.tokens.count <= input.limits.tokens, step.resultCount <= input.limits.sampled else {
            throw VisionError(
                "the image has \(step.tokens.count) patches, more than the \(input.limits.tokens) that one may have")
        }
        input.removeAll()
        step.tokens.withUnsafeBufferPointer {
            input.append(
                query: $0, computed: 0, table: table, sampledTail: step.resultCount, features: step.features)
        }
        for count in step.windows { input.appendWindow(count) }
        // The input points into the step's rows.
        let rows = withExtendedLifetime(step) { compiled.run(input) }
        let width = rows.count / step.resultCount
        let order = step.order.isEmpty ? Array(0..<step.resultCount) : step.order
        let values = order.flatMap { rows[$0 * width..<($0 + 1) * width] }
        return ImageFeatures(
            rows: FeatureRows(values, width: width), gridHeight: patches.gridHeight / model.mergeSize,
            gridWidth: patches.gridWidth / model.mergeSize)
    }
}

/// What a vision tower makes of an image.
package struct ImageFeatures: Sendable {
    /// A row for each image token.
    package let rows: FeatureRows
    /// Image tokens from top to bottom and from left to right.
    package let gridHeight: Int
    package let gridWidth: Int
}
