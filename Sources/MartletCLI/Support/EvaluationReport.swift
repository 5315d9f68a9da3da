import Foundation

/// The results of `eval` as text: a table, and a Markdown page with a plot.
struct EvaluationReport: Encodable {
    let text: String
    let context: Int
    let windows: Int
    let targets: Int
    let threads: Int
    let instructionSet: String
    let results: [EvaluationResult]

    var table: Table {
        var table = Table(
            .init("model"), .init("file", .right), .init("weights", .right), .init("KV", .right),
            .init("perplexity", .right), .init("increase", .right), .init("mean KL", .right), .init("p99 KL", .right),
            .init("same top-1", .right), .init("prompt tok/s", .right), .init("decode tok/s", .right))
        for result in results {
            func number(_ value: Double?, _ format: String) -> String {
                value.map { String(format: format, $0) } ?? "–"
            }
            table.append(
                result.model + (result.isReference ? " (reference)" : ""), Quantities.bytes(result.fileBytes),
                Quantities.bytes(result.weightBytes), Quantities.bytes(result.kvBytes),
                String(format: "%.3f", result.perplexity)
                    + (result.standardError.map { String(format: " ± %.2f", $0) } ?? ""),
                number(result.perplexityIncrease.map { 100 * $0 }, "%+.2f %%"),
                number(result.divergence?.mean, "%.5f"), number(result.divergence?.p99, "%.4f"),
                number(result.agreement.map { 100 * $0 }, "%.2f %%"), number(result.promptRate, "%.1f"),
                number(result.decodeRate, "%.1f"))
        }
        return table
    }

    /// - Parameter plot: where the plot lies, from the page.
    func markdown(plot: String?) -> String {
        var page = "# Evaluation\n\n"
        page +=
            "\(text.singleLine): \(windows) windows of \(context) tokens, \(Quantities.grouped(targets)) predicted. "
        page += "\(threads) threads, \(instructionSet) kernels.\n\n"
        page += table.markdown + "\n"
        page +=
            "File: all tensors as they are stored. Weights: as the kernels read them. KV: keys and values of one window. KL "
            + "divergence from the reference's distribution, in nats per token; top-1: how often both hold the same token for "
            + "the likeliest.\n"
        if let plot { page += "\n![KL divergence by percentile of the tokens](\(plot))\n" }
        return page
    }

    // MARK: Plot

    private static let colors = [
        "#0b6e4f", "#c8553d", "#457b9d", "#e0a458", "#6d6875", "#3aa17e", "#a23b72", "#444444",
    ]
    private static let (width, height, left, top) = (720.0, 360.0, 60.0, 20.0)
    private static let (plotWidth, plotHeight) = (440.0, 300.0)

    /// Divergence (logarithmic) over percentiles of the tokens, a line per model; nil where there is nothing to compare.
    var plot: String? {
        let compared = results.filter { !$0.isReference && !$0.curve.isEmpty }
        // Below this, differences are rounding errors.
        let (lowest, highest) = (-7.0, 1.0)
        guard !compared.isEmpty else { return nil }
        func y(_ divergence: Double) -> Double {
            let exponent = min(max(log10(max(divergence, 1e-30)), lowest), highest)
            return Self.top + Self.plotHeight * (highest - exponent) / (highest - lowest)
        }
        func x(_ index: Int) -> Double {
            Self.left + Self.plotWidth * Double(index) / Double(EvaluationResult.percentiles.count - 1)
        }
        var svg =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" "
            + "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        for exponent in stride(from: Int(lowest), through: Int(highest), by: 1) {
            let place = y(pow(10, Double(exponent)))
            svg += Self.line(Self.left, place, Self.left + Self.plotWidth, place)
            svg += Self.label("1e\(exponent)", x: Self.left - 6, y: place + 4, anchor: "end")
        }
        for (index, percentile) in EvaluationResult.percentiles.enumerated() where index % 3 == 0 {
            svg += Self.label("\(percentile.formatted()) %", x: x(index), y: Self.top + Self.plotHeight + 16)
        }
        svg += Self.label(
            "KL divergence (nats) that this share of tokens stays below", x: Self.left + Self.plotWidth / 2,
            y: Self.top + Self.plotHeight + 34)
        for (index, result) in compared.enumerated() {
            let color = Self.colors[index % Self.colors.count]
            let points = result.curve.enumerated().map { String(format: "%.1f,%.1f", x($0), y($1)) }
            svg +=
                "<polyline fill=\"none\" stroke=\"\(color)\" stroke-width=\"1.8\" points=\"\(points.joined(separator: " "))\"/>\n"
            let place = Self.top + 12 + 18 * Double(index)
            svg += Self.line(Self.left + Self.plotWidth + 16, place, Self.left + Self.plotWidth + 36, place, color)
            svg += Self.label(result.model, x: Self.left + Self.plotWidth + 42, y: place + 4, anchor: "start")
        }
        return svg + "</svg>\n"
    }

    private static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: String = "#dddddd")
        -> String
    {
        String(format: "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"\(color)\"/>\n", x1, y1, x2, y2)
    }

    private static func label(_ text: String, x: Double, y: Double, anchor: String = "middle") -> String {
        let escaped = text.singleLine.replacingOccurrences(of: "&", with: "&amp;")
            .replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(of: ">", with: "&gt;")
        return String(format: "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"\(anchor)\">", x, y) + "\(escaped)</text>\n"
    }
}
