import Foundation

/// Numbers as people read them.
enum Quantities {
    /// Bytes in binary units: "78.2 MiB".
    static func bytes(_ count: Int) -> String {
        scaled(Double(count), by: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB"])
    }

    /// A count in decimal units: "134.5 M".
    static func count(_ count: Int) -> String {
        scaled(Double(count), by: 1000, units: ["", "K", "M", "G", "T"])
    }

    private static func scaled(_ value: Double, by factor: Double, units: [String]) -> String {
        var value = value
        var unit = 0
        // 1023.95 would round to "1024.0".
        while value >= factor - 0.05, unit + 1 < units.count {
            value /= factor
            unit += 1
        }
        let number = unit == 0 ? String(Int(value)) : String(format: "%.1f", value)
        return units[unit].isEmpty ? number : "\(number) \(units[unit])"
    }

    /// Digits in groups of three: "134,515,008".
    static func grouped(_ count: Int) -> String {
        let digits = Array(String(count.magnitude))
        var text = count < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }
}
