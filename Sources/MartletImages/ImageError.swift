/// Why an image can't be used: the text says what was found, and what would do.
package struct ImageError: Error, Equatable, CustomStringConvertible {
    package let reason: String

    package init(_ reason: String) { self.reason = reason }

    package var description: String { reason }
}
