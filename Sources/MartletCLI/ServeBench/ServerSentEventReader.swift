/// Reads server-sent events (WHATWG HTML, 9.2.6) that come in parts of any size. Only `data` counts here.
struct ServerSentEventReader {
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false

    /// Takes more bytes.
    ///
    /// - Returns: the data of the events that are complete now.
    mutating func append(_ bytes: some Sequence<UInt8>) -> [[UInt8]] {
        var events: [[UInt8]] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if line.isEmpty {
                if hasData { events.append(data) }
                data.removeAll(keepingCapacity: true)
                hasData = false
            } else if line.starts(with: Self.field) {
                if hasData { data.append(UInt8(ascii: "\n")) }
                let value = line.dropFirst(Self.field.count)
                data += value.first == UInt8(ascii: " ") ? value.dropFirst() : value
                hasData = true
            }
            line.removeAll(keepingCapacity: true)
        }
        return events
    }

    private static let field = Array("data:".utf8)
}
