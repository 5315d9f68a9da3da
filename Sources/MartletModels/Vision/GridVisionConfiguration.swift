import Glibc
import MartletCheckpoints
import MartletGraph

/// `vision_config` of the Qwen-VL models, whose images have any size.
struct GridVisionConfiguration {
    let hiddenSize: Int
    let intermediateSize: Int
    let layerCount: Int
    let headCount: Int
    let patchSize: Int
    let mergeSize: Int
    let temporalPatchSize: Int
    /// Width of the rows that the language model gets.
    let outputSize: Int
    let ropeTheta: Double

    var headDim: Int { hiddenSize / headCount }
    /// Patches that become one image token.
    var mergedCount: Int { mergeSize * mergeSize }

    init(_ settings: SettingsFile, textWidth: Int) throws(CheckpointError) {
        func size(_ key: String, limit: Int = 1 << 16) throws(CheckpointError) -> Int {
            try settings.size(key, limit: limit)
        }
        hiddenSize = try size("hidden_size")
        intermediateSize = try size("intermediate_size")
        layerCount = try size("depth", limit: 1024)
        headCount = try size("num_heads")
        patchSize = try size("patch_size", limit: 256)
        mergeSize = try size("spatial_merge_size", limit: 16)
        temporalPatchSize = try size("temporal_patch_size", limit: 4)
        outputSize = try size("out_hidden_size")
        let rope = try settings.section("rope_parameters") ?? settings
        ropeTheta = try rope.optionalPositiveNumber("rope_theta", below: 1e15) ?? 10_000
        let channels = try settings.optionalSize("in_channels", limit: 1 << 16) ?? 3
        guard channels == 3 else { throw settings.failure("in_channels", "is \(channels), expected 3") }
        guard hiddenSize % headCount == 0, headDim % 4 == 0, headDim <= 1024 else {
            throw settings.failure("num_heads", "is \(headCount), which does not fit a width of \(hiddenSize)")
        }
        guard outputSize == textWidth else {
            throw settings.failure(
                "out_hidden_size", "is \(outputSize), but the language model's width is \(textWidth)")
        }
    }

    /// Half of a head's pairs are turned by the patch's row (axis 1), half by its column (axis 2).
    var rotary: RotaryEmbedding {
        let count = headDim / 4
        let inverse = (0..<count).map { Float(pow(ropeTheta, -Double($0) / Double(count))) }
        return RotaryEmbedding(
            inverseFrequencies: inverse + inverse,
            axes: [UInt8](repeating: 1, count: count) + [UInt8](repeating: 2, count: count))
    }

    /// Row and column of each patch, in the order in which `ImagePatches` has them.
    func positions(gridHeight: Int, gridWidth: Int) -> [RotaryPosition] {
        var positions: [RotaryPosition] = []
        positions.reserveCapacity(gridHeight * gridWidth)
        for blockY in stride(from: 0, to: gridHeight, by: mergeSize) {
            for blockX in stride(from: 0, to: gridWidth, by: mergeSize) {
                for y in blockY..<blockY + mergeSize {
                    for x in blockX..<blockX + mergeSize {
                        positions.append(RotaryPosition(0, Int32(truncatingIfNeeded: y), Int32(truncatingIfNeeded: x)))
                    }
                }
            }
        }
        return positions
    }
}
