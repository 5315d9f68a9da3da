extension QuantizedFormat {
    /// `quantization_config` in `config.json`, as the format's own tool writes it.
    func configuration(_ settings: QuantizationSettings) -> [String: Any] {
        let group = settings.groupSize ?? -1
        switch self {
        case .awq:
            return [
                "quant_method": "awq", "version": "gemm", "bits": settings.bits, "group_size": group,
                "zero_point": true, "modules_to_not_convert": ["lm_head"],
            ]
        case .gptq:
            return [
                "quant_method": "gptq", "checkpoint_format": settings.isSymmetric ? "gptq" : "gptq_v2",
                "bits": settings.bits, "group_size": group,
                "sym": settings.isSymmetric, "desc_act": settings.actOrder, "damp_percent": settings.damping,
                "lm_head": false, "true_sequential": true, "static_groups": false,
            ]
        case .packQuantized:
            return compressedTensors("pack-quantized", weights: weights(settings), activations: nil)
        case .intQuantized:
            let activations: [String: Any] = [
                "num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "dynamic": true,
            ]
            return compressedTensors("int-quantized", weights: weights(settings), activations: activations)
        }
    }

    private func weights(_ settings: QuantizationSettings) -> [String: Any] {
        var weights: [String: Any] = [
            "num_bits": settings.bits, "type": "int", "symmetric": settings.isSymmetric, "dynamic": false,
            "strategy": settings.groupSize == nil ? "channel" : "group",
        ]
        if let size = settings.groupSize { weights["group_size"] = size }
        return weights
    }

    private func compressedTensors(
        _ format: String, weights: [String: Any], activations: [String: Any]?
    ) -> [String: Any] {
        var group: [String: Any] = ["targets": ["Linear"], "weights": weights]
        if let activations { group["input_activations"] = activations }
        return [
            "quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed",
            "ignore": ["lm_head"], "config_groups": ["group_0": group],
        ]
    }
}
