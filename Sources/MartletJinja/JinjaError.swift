/// Why a template could not be parsed or rendered.
package struct JinjaError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// The source is not a template.
        case syntax
        /// A value that does not exist was used for more than printing or testing it.
        case undefined
        /// An operation got values it is not defined for (Python's TypeError, ValueError, ZeroDivisionError, …).
        case invalidOperation
        /// The sandbox forbids it.
        case security
        /// A bound of `Limits` was exceeded.
        case limitExceeded
        /// The template itself called `raise_exception`.
        case raised
        /// JSON text given as a value is malformed.
        case invalidJSON
    }

    package var kind: Kind
    package var message: String
    /// Line of the template, counted from 1; nil where there is none (JSON input, a limit on the whole source).
    package var line: Int?

    package init(_ kind: Kind, _ message: String, line: Int? = nil) {
        self.kind = kind
        self.message = message
        self.line = line
    }

    package var description: String {
        guard let line else { return message }
        return "line \(line): \(message)"
    }
}
