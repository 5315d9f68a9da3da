import Glibc
import MartletCheckpoints
import MartletGraph

/// `vision_config` of the Qwen-VL models, whose images have any size. What it leaves out has the defaults of the model's
/// class in transformers.
struct GridVisionConfiguration {
    /// The defaults in which the models differ.
    struct Defaults {
        let hiddenSize: Int
        let intermediateSize: Int
        let layerCount: Int
        let patchSize: Int
    }

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

    init(_ settings: SettingsFile, _ defaults: Defaults, textWidth: Int) throws(CheckpointError) {
        func size(_ key: String, _ standard: Int, limit: Int = 1 << 16) throws(CheckpointError) -> Int {
            try settings.optionalSize(key, limit: limit) ?? standard
        }
        hiddenSize = try size("hidden_size", defaults.hiddenSize)
        intermediateSize = try size("intermediate_size", defaults.intermediateSize)
        layerCount = try size("depth", defaults.layerCount, limit: 1024)
        headCount = try size("num_heads", 16)
        patchSize = try size("patch_size", defaults.patchSize, limit: 256)
        mergeSize = try size("spatial_merge_size", 2, limit: 16)
        temporalPatchSize = try size("temporal_patch_size", 2, limit: 4)
        outputSize = try size("out_hidden_size", 3584)
        let rope = try settings.section("rope_parameters") ?? settings
        ropeTheta = try rope.optionalPositiveNumber("rope_theta", below: 1e15) ?? 10_000
        // The published files of Qwen2.5-VL have the shorter spelling.
        let channelsKey = settings.has("in_channels") ? "in_channels" : "in_chans"
        let channels = try size(channelsKey, 3)
        guard channels == 3 else { throw settings.failure(channelsKey, "is \(channels), expected 3") }
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
