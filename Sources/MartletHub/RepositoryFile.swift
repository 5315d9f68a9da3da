internal import Crypto
internal import Foundation

/// A file as the repository lists it.
package struct RepositoryFile: Hashable, Sendable, Codable {
    package let path: String
    /// Bytes.
    package let size: Int
    let hash: ContentHash
}

/// What a file's bytes must hash to.
enum ContentHash: Hashable, Sendable, Codable {
    /// Large files (Git LFS): SHA-256 of the bytes, in hex.
    case sha256(String)
    /// Small files: git's object name, SHA-1 of `blob SIZE\0` and the bytes, in hex.
    case gitBlob(String)

    init?(sha256 text: String) {
        guard Self.isHex(text, count: 64) else { return nil }
        self = .sha256(text.lowercased())
    }

    init?(gitBlob text: String) {
        guard Self.isHex(text, count: 40) else { return nil }
        self = .gitBlob(text.lowercased())
    }

    static func isHex(_ text: String, count: Int) -> Bool {
        text.utf8.count == count && text.utf8.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
    }

    var hex: String {
        switch self {
        case .sha256(let hex), .gitBlob(let hex): hex
        }
    }

    /// A hash of the same kind over bytes that come in parts.
    func hasher(size: Int) -> ContentHasher {
        switch self {
        case .sha256: return .sha256(SHA256())
        case .gitBlob:
            var hasher = Insecure.SHA1()
            hasher.update(data: Array("blob \(size)\0".utf8))
            return .gitBlob(hasher)
        }
    }
}

enum ContentHasher {
    case sha256(SHA256)
    case gitBlob(Insecure.SHA1)

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .sha256(var hasher):
            hasher.update(bufferPointer: bytes)
            self = .sha256(hasher)
        case .gitBlob(var hasher):
            hasher.update(bufferPointer: bytes)
            self = .gitBlob(hasher)
        }
    }

    /// In hex.
    func finalize() -> String {
        func hex(_ digest: some Sequence<UInt8>) -> String {
            digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        }
        return switch self {
        case .sha256(let hasher): hex(hasher.finalize())
        case .gitBlob(let hasher): hex(hasher.finalize())
        }
    }
}
