import MartletJinja
import MartletServer
import Testing

@Suite struct BatchLineTests {
    @Test func aLineIsARequest() throws {
        let line = try BatchLine(
            Array(#"{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x"}}"#.utf8))
        #expect(line.customID == "a")
        #expect(line.kind == .text)
        #expect(line.body["prompt"]?.asString == "x")
    }

    static let hostile: [[UInt8]] = [
        Array("".utf8), Array("{".utf8), Array("null".utf8), Array("[]".utf8), Array("7".utf8), [0xFF, 0xFE], [0],
        Array(String(repeating: "[", count: 100_000).utf8), Array(String(repeating: #"{"a":"#, count: 100_000).utf8),
        Array(#"{"custom_id": "\ud800", "method": "POST"}"#.utf8), Array(#"{"custom_id": 7}"#.utf8),
        Array(#"{"custom_id": "a", "custom_id": "b"}"#.utf8), [0xEF, 0xBB, 0xBF] + Array("{}".utf8),
        Array(#"{"custom_id": "a", "method": "GET", "url": "/v1/completions", "body": {}}"#.utf8),
        Array(#"{"custom_id": "a", "method": "POST", "url": "/etc/passwd", "body": {}}"#.utf8),
        Array(#"{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": []}"#.utf8),
        Array(#"{"custom_id": "a", "method": "POST", "url": "/v1/completions"}"#.utf8),
    ]

    @Test(arguments: hostile) func whatIsNoRequestIsAnError(bytes: [UInt8]) throws {
        let error = #expect(throws: BatchLineError.self) { try BatchLine(bytes) }
        #expect(error?.message.isEmpty == false)
    }

    @Test func errorsKeepTheCustomID() {
        let error = #expect(throws: BatchLineError.self) { try BatchLine(Array(#"{"custom_id": "a"}"#.utf8)) }
        #expect(error?.customID == "a")
    }

    @Test func resultsHaveOpenAIsShape() throws {
        let refused = BatchResult(line: 3, customID: "c", .refused(APIError(400, "No.", parameter: "n")))
        #expect(refused.json["id"]?.asString == "batch_req_3")
        #expect(refused.json["response"]?["status_code"]?.integer == 400)
        #expect(refused.json["response"]?["body"]?["error"]?["param"]?.asString == "n")
        let unreadable = BatchResult(line: 4, customID: nil, .unreadable(BatchLineError(code: "x", message: "y")))
        #expect(
            try unreadable.json.json()
                == #"{"id":"batch_req_4","custom_id":null,"response":null,"error":{"code":"x","message":"y"}}"#)
    }
}
