import Foundation
import TestSupport
import Testing

@testable import MartletCLI

@Suite struct EvaluationTests {
    private func compare(_ logits: [Float], _ reference: [Float], target: Int) -> TokenComparison {
        logits.withUnsafeBufferPointer { logits in
            reference.withUnsafeBufferPointer {
                TokenComparison(logits: logits, reference: ReferenceDistribution($0), target: target)
            }
        }
    }

    /// The definitions, term by term.
    @Test func divergenceOfTwoDistributions() {
        let (logits, reference): ([Float], [Float]) = ([1, 2, 0.5, -1], [0.5, 1.5, 1.75, -2])
        func probabilities(_ logits: [Float]) -> [Double] {
            let terms = logits.map { exp(Double($0)) }
            return terms.map { $0 / terms.reduce(0, +) }
        }
        let (q, p) = (probabilities(logits), probabilities(reference))
        let found = compare(logits, reference, target: 2)
        #expect(abs(found.divergence - zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }) < 1e-12)
        #expect(abs(found.negativeLogLikelihood + log(q[2])) < 1e-12)
        #expect(!found.agrees)
        let same = compare(reference, reference, target: 0)
        #expect(same.divergence < 1e-14 && same.agrees)
        #expect(compare([.nan, 0, 0, 0], reference, target: 0).divergence == .infinity)
        // Large logits overflow nothing.
        #expect(abs(compare([1000, 999], [999, 1000], target: 0).divergence - tanh(0.5)) < 1e-9)
    }

    @Test func rowsWithoutATargetDoNotCount() {
        let logits: [Float] = [0, 1, 2, 3, 4, 5]
        let rows = logits.withUnsafeBufferPointer {
            TokenComparison.compare([$0], reference: $0, vocabulary: 2, targets: [0, nil, 1])[0]
        }
        #expect(rows.count == 2)
        #expect(rows[0].negativeLogLikelihood > 1 && rows[1].negativeLogLikelihood < 1)
    }

    private func report() -> EvaluationReport {
        func result(_ name: String, reference: Bool) -> EvaluationResult {
            let values = (1...200).map { Double($0) / 1000 }
            return EvaluationResult(
                model: name, isReference: reference, compute: "f32", kvCacheType: "f32", fileBytes: 1 << 20,
                weightBytes: 1 << 21, kvBytes: 1 << 10, perplexity: 20, standardError: 0.25,
                perplexityIncrease: reference ? nil : 0.0125, divergence: reference ? nil : Percentiles(values),
                agreement: reference ? nil : 0.9, promptRate: reference ? nil : 100, decodeRate: reference ? nil : 50,
                curve: reference ? [] : EvaluationResult.curve(values))
        }
        return EvaluationReport(
            text: "text.txt", context: 512, windows: 3, targets: 1533, threads: 2, instructionSet: "avx2",
            results: [result("base", reference: true), result("small & <fast>", reference: false)])
    }

    @Test func tableAndPage() throws {
        let page = report().markdown(plot: "page.svg")
        #expect(page.contains("text.txt: 3 windows of 512 tokens, 1,533 predicted. 2 threads, avx2 kernels."))
        #expect(page.contains("| base (reference) |"))
        #expect(page.contains("+1.25 %") && page.contains("90.00 %") && page.contains("20.000 ± 0.25"))
        #expect(page.contains("](page.svg)"))
        let plot = try #require(report().plot)
        #expect(plot.contains("small &amp; &lt;fast&gt;") && plot.components(separatedBy: "<polyline").count == 2)
        #expect(throws: Never.self) { try XMLCheck.parse(plot) }
    }

    @Test func percentilesOfTheCurve() {
        let curve = EvaluationResult.curve((0...1000).map(Double.init))
        #expect(curve == EvaluationResult.percentiles.map { $0 * 10 })
    }
}

/// A plot is XML: its tags nest and end.
private enum XMLCheck {
    struct Broken: Error {}

    static func parse(_ text: String) throws {
        var open: [Substring] = []
        for piece in text.split(separator: "<") {
            guard let end = piece.firstIndex(of: ">") else { throw Broken() }
            let tag = piece[..<end]
            if tag.hasPrefix("/") {
                guard open.popLast() == tag.dropFirst() else { throw Broken() }
            } else if !tag.hasSuffix("/") {
                open.append(tag.prefix { $0 != " " })
            }
        }
        if !open.isEmpty { throw Broken() }
    }
}
