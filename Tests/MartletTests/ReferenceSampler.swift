import Foundation
import Martlet

/// The slow, obvious sampler: probabilities of all tokens after every rule, in double precision, with full sorts.
struct ReferenceSampler {
    var parameters = SamplingParameters()
    var prompt: [Int32] = []
    var generated: [Int32] = []
    var stopTokens: [Int32] = []
    var badWords: [[Int32]] = []

    func adjusted(_ logits: [Float]) -> [Double] {
        var result = logits.map { Double($0) }
        for (token, bias) in parameters.logitBias { result[token] += Double(bias) }
        if let allowed = parameters.allowedTokenIDs {
            for token in result.indices where !allowed.contains(token) { result[token] = -.infinity }
        }
        for word in badWords where generated.suffix(word.count - 1) + word.suffix(1) == word {
            result[Int(word[word.count - 1])] = -.infinity
        }
        if generated.count < parameters.minTokens {
            for token in stopTokens { result[Int(token)] = -.infinity }
        }
        for token in Set(prompt + generated).map({ Int($0) }) {
            let times = generated.count { $0 == Int32(token) }
            if times > 0 || prompt.contains(Int32(token)) {
                let penalty = Double(parameters.repetitionPenalty)
                result[token] = result[token] > 0 ? result[token] / penalty : result[token] * penalty
            }
            result[token] -= Double(parameters.frequencyPenalty) * Double(times)
            if times > 0 { result[token] -= Double(parameters.presencePenalty) }
        }
        return result
    }

    func probabilities(_ logits: [Float]) -> [Double] {
        let scaled = adjusted(logits).map { $0 / Double(parameters.temperature) }
        var probabilities = Self.softmax(scaled)
        let order = scaled.indices.sorted { scaled[$0] > scaled[$1] || (scaled[$0] == scaled[$1] && $0 < $1) }
        let best = probabilities[order[0]]
        for token in order where probabilities[token] < Double(parameters.minP) * best { probabilities[token] = 0 }
        if parameters.topK > 0 {
            for token in order.dropFirst(parameters.topK) { probabilities[token] = 0 }
        }
        let sum = probabilities.reduce(0, +)
        var reached = 0.0
        for token in order {
            let probability = probabilities[token]
            if reached >= Double(parameters.topP) * sum { probabilities[token] = 0 }
            reached += probability
        }
        probabilities = typical(Self.normalized(probabilities))
        if parameters.xtcProbability == 1 {
            let top = order.filter {
                probabilities[$0] > 0 && probabilities[$0] >= Double(parameters.xtcThreshold)
            }
            for token in top.dropLast() { probabilities[token] = 0 }
        }
        return Self.normalized(probabilities)
    }

    /// As in the paper: sort by the distance of the surprise from the entropy, and cut where the mass is reached.
    private func typical(_ probabilities: [Double]) -> [Double] {
        guard parameters.typicalP < 1 else { return probabilities }
        let entropy = probabilities.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
        let distances = probabilities.map { $0 > 0 ? abs(-log($0) - entropy) : .infinity }
        var result = probabilities
        var reached = 0.0
        for token in probabilities.indices.sorted(by: { (distances[$0], $0) < (distances[$1], $1) }) {
            if reached >= Double(parameters.typicalP) { result[token] = 0 }
            reached += probabilities[token]
        }
        return Self.normalized(result)
    }

    private static func normalized(_ probabilities: [Double]) -> [Double] {
        let sum = probabilities.reduce(0, +)
        return probabilities.map { $0 / sum }
    }

    static func softmax(_ logits: [Double]) -> [Double] {
        let peak = logits.max() ?? 0
        let weights = logits.map { exp($0 - peak) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }
}
