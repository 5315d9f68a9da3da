/// Why a checkpoint could not be read: the file, the tensor or metadata key at fault where there is one, and the reason.
public struct CheckpointError: Error, Sendable, Equatable {
    /// The path as it was given.
    public let file: String
    /// The tensor at fault, under the name it has in the file.
    public let tensor: String?
    /// The metadata key at fault.
    public let key: String?
    /// What is wrong, with the numbers that show it.
    public let reason: String

    package init(file: String, tensor: String? = nil, key: String? = nil, reason: String) {
        self.file = file
        self.tensor = tensor
        self.key = key
        self.reason = reason
    }
}

extension CheckpointError: CustomStringConvertible {
    /// One line, safe to print on a terminal whatever names the file holds.
    public var description: String {
        var subject = ""
        if let tensor { subject += " tensor '\(Self.printable(tensor))':" }
        if let key { subject += " key '\(Self.printable(key))':" }
        return "\(Self.printable(file)):\(subject) \(Self.printable(reason))"
    }

    /// A name from a file may hold escape sequences or be very long: control characters are replaced, the rest is cut.
    private static func printable(_ text: String) -> String {
        let longest = 300
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.prefix(longest) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: result.append("\u{FFFD}")
            default: result.append(scalar)
            }
        }
        if text.unicodeScalars.count > longest { result.append("…") }
        return String(result)
    }
}
