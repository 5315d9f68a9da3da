import Foundation
import NIOSSL

/// The certificate that a server shows, and its key: PEM files. They are read when the server starts.
public struct TLSFiles: Sendable, Hashable {
    /// The server's own certificate, then those that lead to one that clients trust.
    public var certificate: String
    public var key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// - Throws: `Failure` that names the file that can't be used.
    public func check() throws(Failure) {
        let configuration = try configuration()
        do {
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            throw Failure(description: "\(key) is not the key of \(certificate), or one of them is broken: \(error)")
        }
    }

    func configuration() throws(Failure) -> TLSConfiguration {
        for path in [certificate, key] where !FileManager.default.isReadableFile(atPath: path) {
            throw Failure(description: "\(path): the file can't be read")
        }
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(certificate)
        } catch {
            throw Failure(description: "\(certificate): no certificate in PEM")
        }
        guard !chain.isEmpty else { throw Failure(description: "\(certificate): no certificate in PEM") }
        let privateKey: NIOSSLPrivateKey
        do {
            privateKey = try NIOSSLPrivateKey(file: key, format: .pem)
        } catch {
            throw Failure(description: "\(key): no private key in PEM, or one with a pass phrase")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        return configuration
    }
}
