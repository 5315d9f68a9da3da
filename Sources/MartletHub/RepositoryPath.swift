/// Paths of files in a repository. They come from a server and become paths on this machine.
enum RepositoryPath {
    /// Letters, digits, `-`, `_`, `.`.
    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// Whether a path stays in the folder that it is appended to, and shows up there: relative, without empty, hidden or `..`
    /// components and control characters, and short enough for every file system.
    static func isSafe(_ path: String) -> Bool {
        guard (1...1024).contains(path.utf8.count) else { return false }
        return path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            (1...200).contains(part.utf8.count) && !part.hasPrefix(".")
                && part.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\\") }
        }
    }

    /// A path or revision as part of a URL; slashes stay where `keepsSlashes`.
    static func encoded(_ text: String, keepsSlashes: Bool) -> String {
        var result = ""
        for byte in text.utf8 {
            if isNameByte(byte) || keepsSlashes && byte == UInt8(ascii: "/") {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                result += digits.count == 1 ? "%0" + digits : "%" + digits
            }
        }
        return result
    }
}
