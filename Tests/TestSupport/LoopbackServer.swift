import Foundation
import Synchronization

/// An HTTP/1.1 server on 127.0.0.1 over plain sockets, which answers wrongly on demand: what a well-behaved server library
/// would never send is what clients must survive. One request a connection, or a second one in a tunnel: it is a proxy that is
/// all servers, too.
public final class LoopbackServer: Sendable {
    public struct Request: Sendable {
        public let method: String
        /// With the query.
        public let path: String
        /// By lower-case name.
        public let headers: [String: String]

        /// `Range: bytes=FIRST-LAST`.
        public var range: Range<Int>? {
            guard let match = headers["range"]?.wholeMatch(of: /bytes=(\d+)-(\d+)/), let first = Int(match.1),
                let last = Int(match.2), first <= last
            else { return nil }
            return first..<(last + 1)
        }
    }

    public struct Reply: Sendable {
        public var status: Int
        public var headers: [String: String] = [:]
        public var body: [UInt8]
        /// What the header says; nil for the truth.
        public var contentLength: Int?
        /// Bytes of the body after which the connection is cut.
        public var dropsAfter: Int?
        /// The body is sent again and again, chunked, as long as the client listens.
        public var isEndless = false
        /// The answer to `CONNECT`: what the client sends next is answered as by the server that it asked for.
        public var opensTunnel = false

        public init(_ status: Int = 200, headers: [String: String] = [:], body: [UInt8] = []) {
            (self.status, self.headers, self.body) = (status, headers, body)
        }

        public init(_ status: Int = 200, text: String) { self.init(status, body: Array(text.utf8)) }
    }

    public let port: UInt16
    private let listener: Int32
    private let log = Mutex<[Request]>([])
    private let handler: @Sendable (Request) -> Reply

    public struct SocketError: Error {}

    public init(_ handler: @escaping @Sendable (Request) -> Reply) throws {
        self.handler = handler
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(listener, generic, length) == 0 && listen(listener, 64) == 0
                    && getsockname(listener, generic, &length) == 0
            }
        }
        guard isBound else { throw SocketError() }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                guard let self else {
                    close(connection)
                    return
                }
                Thread.detachNewThread { self.serve(connection) }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    public var address: String { "http://127.0.0.1:\(port)" }

    /// All requests so far.
    public var requests: [Request] { log.withLock { $0 } }

    private func serve(_ connection: Int32) {
        answer(connection)
        close(connection)
    }

    private func answer(_ connection: Int32) {
        guard let request = Self.read(connection) else { return }
        log.withLock { $0.append(request) }
        let reply = handler(request)
        if reply.opensTunnel {
            if Self.send(Array("HTTP/1.1 200 Connected\r\n\r\n".utf8), connection) { answer(connection) }
        } else {
            send(reply, connection)
        }
    }

    private func send(_ reply: Reply, _ connection: Int32) {
        var head = "HTTP/1.1 \(reply.status) Answer\r\nConnection: close\r\n"
        for (name, value) in reply.headers { head += "\(name): \(value)\r\n" }
        if reply.isEndless {
            head += "Transfer-Encoding: chunked\r\n\r\n"
            guard Self.send(Array(head.utf8), connection) else { return }
            let chunk = Array(String(reply.body.count, radix: 16).utf8) + [13, 10] + reply.body + [13, 10]
            while Self.send(chunk, connection) {}
            return
        }
        head += "Content-Length: \(reply.contentLength ?? reply.body.count)\r\n\r\n"
        _ = Self.send(Array(head.utf8) + reply.body.prefix(reply.dropsAfter ?? reply.body.count), connection)
    }

    private static func read(_ connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        func receive() -> Bool {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0, bytes.count < 1 << 20 else { return false }
            bytes += buffer[..<count]
            return true
        }
        var end: Range<Int>?
        while end == nil {
            guard receive() else { return nil }
            end = bytes.firstRange(of: [13, 10, 13, 10])
        }
        let head = end?.lowerBound ?? 0
        let lines = String(decoding: bytes[..<head], as: UTF8.self).components(separatedBy: "\r\n")
        let parts = lines[0].split(separator: " ")
        guard parts.count == 3 else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                in: .whitespaces)
        }
        // A body is read, and forgotten: whoever sends one may wait for that.
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        while bytes.count < head + 4 + length { guard receive() else { return nil } }
        return Request(method: String(parts[0]), path: String(parts[1]), headers: headers)
    }

    private static func send(_ bytes: [UInt8], _ connection: Int32) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Foundation.send(connection, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }
}
