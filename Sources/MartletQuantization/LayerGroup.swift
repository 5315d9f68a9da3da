/// Linear layers of a decoder layer that read the same input, and where a factor per input column can go instead.
struct LayerGroup: Sendable {
    /// Names below the layer: "self_attn.q_proj".
    let linears: [String]
    let fold: Fold

    /// What makes the input: dividing it by the factors divides the input.
    enum Fold: Sendable {
        /// The weight of a norm.
        case norm(String)
        /// The rows of another linear layer. Of attention, where a value head serves several query heads, these share its
        /// factors.
        case rows(String)
    }

    static let all = [
        LayerGroup(
            linears: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], fold: .norm("input_layernorm")),
        LayerGroup(linears: ["self_attn.o_proj"], fold: .rows("self_attn.v_proj")),
        LayerGroup(linears: ["mlp.gate_proj", "mlp.up_proj"], fold: .norm("post_attention_layernorm")),
        LayerGroup(linears: ["mlp.down_proj"], fold: .rows("mlp.up_proj")),
    ]

    /// All linear layers of a decoder layer, in the order in which they are computed.
    static let linears = all.flatMap(\.linears)
}
