import Foundation

/// Why a model could not be quantized: one line for whoever asked for it.
package struct QuantizationError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }

    /// Does what writes a file, or throws an error that names the file and says why it could not be written.
    static func naming(_ url: URL, _ write: () throws -> Void) throws(QuantizationError) {
        do {
            try write()
        } catch {
            // Foundation's words are often that the operation could not be completed; the system's say why.
            let cause = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
            let reason =
                cause.flatMap {
                    $0.domain == NSPOSIXErrorDomain
                        ? String(cString: strerror(Int32(truncatingIfNeeded: $0.code))) : nil
                }
            throw QuantizationError("cannot write \(url.path): \(reason ?? error.localizedDescription)")
        }
    }
}
