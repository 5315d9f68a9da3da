package import MartletGraph
package import MartletImages

/// The part of a model that sees: it turns an image's patches into rows that stand in for the embeddings of image tokens.
///
/// It is traced like a language model, into a plan of its own. One image is one step: its patches are the step's tokens,
/// their pixels the step's features, and the rows of the result its sampled rows.
package protocol VisionModel: Sendable {
    /// Pixels of a patch's side.
    var patchSize: Int { get }
    /// Values of a patch.
    var patchWidth: Int { get }
    /// Patches along the side of a square that becomes one image token.
    var mergeSize: Int { get }
    /// The token of which the text has one for every row of the result.
    var imageToken: Int { get }
    /// Rows of the step and of the result, at most; nil where images differ in size.
    var fixedRows: (step: Int, result: Int)? { get }
    /// Whether rows and columns of an image's tokens turn rotary embeddings (M-RoPE).
    var hasGridPositions: Bool { get }

    /// - Returns: `[sampled, featureWidth]`.
    func callAsFunction(_ patches: Tracer) -> Tensor

    /// How an image's patches make a step.
    ///
    /// - Throws: `VisionError` for an image that the model can't see.
    func input(_ patches: ImagePatches) throws(VisionError) -> VisionInput
}

extension VisionModel {
    package var mergeSize: Int { 1 }
    package var hasGridPositions: Bool { false }

    /// Records the forward function.
    package func trace() -> Graph {
        let tracer = Tracer()
        return tracer.finish(tracer.scope("vision") { self(tracer) })
    }
}

/// Why a vision model can't take an image.
package struct VisionError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// A vision tower's step.
package struct VisionInput: Sendable {
    /// Rows of the tower's position table, one for each row of the step.
    package var tokens: [Int32]
    /// Pixels, and rotary positions where the tower has them.
    package var features: TokenFeatures
    /// How many rows, one after the other, attend to each other in windowed layers.
    package var windows: [Int] = []
    /// Rows of the result: the step's last ones, or groups of its rows.
    package var resultCount: Int
    /// The row of the result that each image token gets; empty: they are in order.
    package var order: [Int] = []

    package init(tokens: [Int32], features: TokenFeatures, resultCount: Int) {
        self.tokens = tokens
        self.features = features
        self.resultCount = resultCount
    }
}
