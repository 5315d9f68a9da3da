import HTTPTypes
import Hummingbird
import HummingbirdCore
import MartletJinja

extension ModelRoutes {
    /// - Throws: 400 for fields that nobody knows, where these are refused.
    func checkUnknown(_ fields: [String]) throws(APIError) {
        guard options.refusesUnknownFields, let name = fields.first else { return }
        throw APIError(400, "Unknown parameter: '\(name)'.", parameter: name, code: "unknown_parameter")
    }

    /// Tells the caller of fields that nobody knows.
    func warn(of fields: [String], in response: inout Response) {
        guard !fields.isEmpty else { return }
        response.headers[.martletWarning] = "unknown fields were ignored: " + Self.headerText(fields)
    }

    /// An answer that tells of them.
    func response(_ document: Value, warningOf fields: [String]) -> Response {
        var response = Response(json: document)
        warn(of: fields, in: &response)
        return response
    }

    /// Names as a header can carry them: the caller chose them.
    private static func headerText(_ names: [String]) -> String {
        let text = names.prefix(16).map { $0.prefix(64) }.joined(separator: ", ")
        return String(String.UnicodeScalarView(text.unicodeScalars.map { (0x20...0x7E).contains($0.value) ? $0 : "?" }))
    }
}
