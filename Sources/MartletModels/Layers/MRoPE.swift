import MartletCheckpoints

/// Multimodal rotary positions (Wang et al. 2024, "Qwen2-VL"): a head's pairs are shared out among frame, row and column.
struct MRoPE {
    /// Pairs of each axis.
    private let sections: [Int]
    /// Rows and columns alternate with frames, instead of following each other (Qwen3-VL).
    private let isInterleaved: Bool
    private let settings: SettingsFile

    init(_ text: SettingsFile) throws(CheckpointError) {
        if let parameters = try text.section("rope_parameters") {
            settings = parameters
        } else {
            settings = try text.section("rope_scaling") ?? text
        }
        sections = try settings.required(settings.integers("mrope_section"), "mrope_section")
        isInterleaved = try settings.boolean("mrope_interleaved") ?? false
    }

    /// The axis of each pair.
    func axes(_ model: ModelConfiguration) throws(CheckpointError) -> [UInt8] {
        let count = model.rope.dimensionCount / 2
        guard sections.count == 3, sections.allSatisfy({ (0...count).contains($0) }), sections.reduce(0, +) == count
        else { throw settings.failure("mrope_section", "is \(sections), which are not 3 parts of \(count) pairs") }
        guard isInterleaved else {
            return sections.enumerated().flatMap { [UInt8](repeating: UInt8($0), count: $1) }
        }
        return (0..<count).map { pair in
            let axis = pair % 3
            return axis > 0 && pair < 3 * sections[axis] ? UInt8(axis) : 0
        }
    }
}

extension SettingsFile {
    /// Where a model that sees describes its language model: in an object of its own, or among everything else.
    func textSettings() throws(CheckpointError) -> SettingsFile { try section("text_config") ?? self }
}
