/// Why a model could not be quantized: one line for whoever asked for it.
package struct QuantizationError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
