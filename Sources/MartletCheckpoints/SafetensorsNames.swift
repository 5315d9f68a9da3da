/// Canonical names of the tensors in Hugging Face's files.
enum SafetensorsNames {
    /// Models that see keep their language model under a name of its own, which has changed over the years: the canonical
    /// name is the one that the language model has alone. What sees stands beside it.
    static func canonical(_ name: String) -> String {
        for (prefix, replacement) in prefixes where name.hasPrefix(prefix) {
            return replacement + name.dropFirst(prefix.count)
        }
        return name
    }

    private static let prefixes = [
        ("language_model.model.", "model."),
        ("language_model.lm_head.", "lm_head."),
        ("model.language_model.", "model."),
        ("vision_tower.vision_model.", "vision_tower."),
        ("model.vision_tower.vision_model.", "vision_tower."),
        ("model.vision_tower.", "vision_tower."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
        ("model.visual.", "visual."),
    ]
}
