import HTTPTypes
import Hummingbird
import HummingbirdCore
import MartletJinja
import NIOCore

extension Response {
    init(json: Value, status: Int = 200) {
        // What the server makes always has JSON: no part of it is a template's.
        self.init(jsonText: (try? json.json()) ?? "{}", status: status)
    }

    init(jsonText: String, status: Int = 200) {
        self.init(
            status: .init(code: status), headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: jsonText)))
    }

    /// A page, and what it may do.
    init(html: String, policy: String) {
        self.init(
            status: .ok,
            headers: [
                .contentType: "text/html; charset=utf-8", .contentSecurityPolicy: policy,
                .xContentTypeOptions: "nosniff",
                .cacheControl: "no-cache",
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(string: html)))
    }

    /// In Prometheus' text format.
    init(text: String) {
        self.init(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension HTTPField.Name {
    static let requestID = named("X-Request-Id")
    static let traceparent = named("traceparent")
    static let apiKey = named("X-Api-Key")
    /// Where the request had fields that nobody knows.
    static let martletWarning = named("X-Martlet-Warning")

    private static func named(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("not a name of a header") }
        return name
    }
}
