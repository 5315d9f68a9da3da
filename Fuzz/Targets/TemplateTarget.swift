import Foundation
import MartletJinja

extension FuzzTarget {
    /// The bytes are a chat template, and behind a zero the JSON of what it reads.
    static let template = FuzzTarget(name: "template", longest: 8192) {
        var seeds: [[UInt8]] = []
        for name in ["smollm2", "llama3_2", "qwen2_5", "qwen2_5_vl", "qwen3", "gemma3"] {
            let data = try fixture("MartletJinjaTests/Fixtures/chat/\(name).json")
            guard let document = try JSONSerialization.jsonObject(with: data) as? [String: Any],
                let source = document["chat_template"] as? String
            else { continue }
            for entry in (document["cases"] as? [[String: Any]] ?? []).prefix(4) {
                var context = entry["kwargs"] as? [String: Any] ?? [:]
                for key in ["messages", "tools", "add_generation_prompt"] { context[key] = entry[key] }
                seeds.append(try seed(source, context))
            }
        }
        let data = try fixture("MartletJinjaTests/Fixtures/differential.json")
        let document = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        for entry in document?["cases"] as? [[String: Any]] ?? [] {
            guard let source = entry["template"] as? String, let context = entry["context"] as? [String: Any] else {
                continue
            }
            seeds.append(try seed(source, context))
        }
        return seeds
    } read: { bytes in
        var limits = Limits()
        limits.maxSteps = 20_000
        limits.stepsPerWeight = 0
        limits.maxOutputBytes = 1 << 20
        limits.maxStringBytes = 1 << 20
        limits.maxElements = 20_000
        let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
        do {
            let template = try Template(String(decoding: parts[0], as: UTF8.self), limits: limits)
            var context: [String: Value] = [:]
            if parts.count > 1, case .dictionary(let members) = try Value(strictJSON: Array(parts[1])) {
                for (key, value) in zip(members.keys, members.values) { context[key.asString ?? ""] = value }
            }
            let text = try template.render(context, clock: .fixed(unixTime: 0))
            precondition(text.utf8.count <= limits.maxOutputBytes)
        } catch {
            precondition(!"\(error)".isEmpty)
        }
    }

    private static func seed(_ source: String, _ context: [String: Any]) throws -> [UInt8] {
        Array(source.utf8) + [0] + (try JSONSerialization.data(withJSONObject: context, options: .sortedKeys))
    }
}
