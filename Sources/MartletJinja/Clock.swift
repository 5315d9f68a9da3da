import Foundation

/// Where `strftime_now` takes the time from.
package struct Clock: Sendable {
    /// Seconds since 1970-01-01 00:00 UTC.
    private let unixTime: @Sendable () -> Int
    private let isLocal: Bool

    /// The machine's time in its time zone.
    package static let local = Clock(unixTime: { Int(Date().timeIntervalSince1970) }, isLocal: true)

    /// A clock that stands still, in UTC.
    package static func fixed(unixTime: Int) -> Clock { Clock(unixTime: { unixTime }, isLocal: false) }

    /// Python's `datetime.now().strftime(format)`; nil where the result would be absurdly long.
    func formatted(_ format: String) -> String? {
        guard !format.isEmpty else { return "" }
        // The C function would stop there.
        guard !format.utf8.contains(0) else { return nil }
        var seconds = time_t(unixTime())
        var calendar = tm()
        if isLocal { localtime_r(&seconds, &calendar) } else { gmtime_r(&seconds, &calendar) }
        // The names of days and months take a dozen bytes; padding that a format asks for beyond that is refused.
        var buffer = [CChar](repeating: 0, count: 64 + 16 * format.utf8.count)
        // The C function returns 0 both for an empty result and for one that does not fit; a mark tells them apart.
        let count = strftime(&buffer, buffer.count, format + "|", &calendar)
        guard count > 0 else { return nil }
        return String(decoding: buffer[..<(count - 1)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
