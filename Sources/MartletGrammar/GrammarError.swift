/// Why a structure can't be compiled, or an answer can't be followed any further.
package struct GrammarError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// The source breaks the rules of its language.
        case malformed
        /// A keyword or construct that Martlet does not do; the message names it.
        case unsupported
        /// It would take more memory or time than a structure may.
        case tooComplex
        /// No text satisfies it.
        case unsatisfiable
    }

    package let kind: Kind
    package let message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }

    static func malformed(_ message: String) -> GrammarError { GrammarError(.malformed, message) }
    static func unsupported(_ message: String) -> GrammarError { GrammarError(.unsupported, message) }
    static func tooComplex(_ message: String) -> GrammarError { GrammarError(.tooComplex, message) }
}
