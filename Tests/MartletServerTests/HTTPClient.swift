import Foundation

/// A client that says exactly the bytes that a test wants to say, also such as no library would send.
final class HTTPClient: @unchecked Sendable {
    struct Response {
        var status: Int
        var headers: [String: String]
        var body: String

        var json: [String: Any]? { (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any] }
        var error: [String: Any]? { json?["error"] as? [String: Any] }
        /// The documents of a stream of events.
        var events: [[String: Any]] {
            body.components(separatedBy: "\n\n").compactMap { event in
                guard event.hasPrefix("data: {") else { return nil }
                return (try? JSONSerialization.jsonObject(with: Data(event.dropFirst(6).utf8))) as? [String: Any]
            }
        }
    }

    struct Failure: Error { var what: String }

    private var descriptor: Int32

    /// - Parameters:
    ///   - host: of this machine, 127.0.0.x, that the connection comes from.
    ///   - receiveBuffer: bytes that the system takes for a client that does not read; nil for what it likes.
    init(port: Int, from host: UInt8 = 1, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size))
        }
        var source = sockaddr_in()
        source.sin_family = sa_family_t(AF_INET)
        source.sin_addr.s_addr = in_addr_t(0x7F00_0000 + UInt32(host)).bigEndian
        let isBound = withUnsafePointer(to: &source) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isBound else { throw Failure(what: "bind: \(String(cString: strerror(errno)))") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        // A test that hangs fails by this.
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Failure(what: "connect: \(String(cString: strerror(errno)))") }
    }

    deinit { disconnect() }

    func disconnect() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(what: "send: \(String(cString: strerror(errno)))") }
            rest = rest.dropFirst(count)
        }
    }

    /// What comes until there is nothing more, or until `isEnough`.
    func receive(until isEnough: ([UInt8]) -> Bool = { _ in false }) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while !isEnough(bytes) {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count == 0 { break }
            guard count > 0 else { throw Failure(what: "recv: \(String(cString: strerror(errno)))") }
            bytes += buffer[..<count]
        }
        return bytes
    }

    static func request(
        _ method: String, _ path: String, body: String? = nil, headers: [String: String] = [:]
    ) -> [UInt8] {
        var all = ["Host": "localhost", "Connection": "close"]
        if let body {
            all["Content-Type"] = "application/json"
            all["Content-Length"] = String(body.utf8.count)
        }
        all.merge(headers) { $1 }
        let lines = ["\(method) \(path) HTTP/1.1"] + all.map { "\($0): \($1)" }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")).utf8)
    }

    /// Sends a request on a connection of its own, away from the threads that the server needs.
    static func exchange(port: Int, from host: UInt8 = 1, _ request: [UInt8]) async throws -> Response {
        try await onThread {
            let client = try HTTPClient(port: port, from: host)
            try client.send(request)
            return try parse(client.receive())
        }
    }

    static func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
        }
    }

    static func parse(_ bytes: [UInt8]) throws -> Response {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { throw Failure(what: "no response: \(text.prefix(100))") }
        let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
        let status = Int(lines[0].split(separator: " ").dropFirst().first ?? "") ?? 0
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            if pair.count == 2 { headers[pair[0].lowercased()] = pair[1].trimmingCharacters(in: .whitespaces) }
        }
        var body = String(text[end.upperBound...])
        if headers["transfer-encoding"] == "chunked" { body = try joinChunks(bytes[...]) }
        return Response(status: status, headers: headers, body: body)
    }

    private static func joinChunks(_ bytes: ArraySlice<UInt8>) throws -> String {
        var rest = Data(bytes)
        guard let end = rest.range(of: Data("\r\n\r\n".utf8)) else { return "" }
        rest = rest[end.upperBound...]
        var body = Data()
        while let line = rest.range(of: Data("\r\n".utf8)),
            let size = Int(String(decoding: rest[..<line.lowerBound], as: UTF8.self), radix: 16), size > 0
        {
            guard rest.endIndex - line.upperBound >= size + 2 else { throw Failure(what: "a chunk is cut off") }
            body += rest[line.upperBound..<line.upperBound + size]
            rest = rest[(line.upperBound + size + 2)...]
        }
        return String(decoding: body, as: UTF8.self)
    }
}
