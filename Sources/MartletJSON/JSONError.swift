/// Why bytes are not the JSON that was asked for.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    /// What is wrong, and at which byte.
    package let message: String

    package var description: String { message }
}
