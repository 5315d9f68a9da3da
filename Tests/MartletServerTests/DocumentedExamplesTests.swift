import Foundation
import MartletJinja
import TestSupport
import Testing

@testable import MartletServer

/// The examples of docs/serving/API.md, on the real server.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)), .serialized, .timeLimit(.minutes(2)))
struct DocumentedExamplesTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var method: String
        var path: String
        var body: String?
        var testDescription: String { "\(method) \(path) \((body ?? "").prefix(60))" }

        var fields: Set<String> {
            let document = try? JSONSerialization.jsonObject(with: Data((body ?? "{}").utf8))
            return Set((document as? [String: Any] ?? [:]).keys)
        }
    }

    /// The blocks that begin with ```http: a line with the method and the path, then the body.
    static func examples() throws -> [Example] {
        let url = SharedFixtures.repository.appending(path: "docs/serving/API.md")
        let text = try String(contentsOf: url, encoding: .utf8)
        return text.components(separatedBy: "```http\n").dropFirst().compactMap { block in
            guard let end = block.range(of: "\n```") else { return nil }
            let lines = block[..<end.lowerBound].split(separator: "\n", maxSplits: 1)
            let head = lines[0].split(separator: " ")
            guard head.count == 2 else { return nil }
            return Example(
                method: String(head[0]), path: String(head[1]), body: lines.count > 1 ? String(lines[1]) : nil)
        }
    }

    @Test func everyExampleIsAnswered() async throws {
        let examples = try Self.examples()
        #expect(examples.count >= 40)
        try await ServerTests.withServer { port, _, _ in
            for example in examples {
                let response = try await HTTPClient.exchange(
                    port: port, HTTPClient.request(example.method, example.path, body: example.body))
                #expect(response.status == 200, "\(example.testDescription): \(response.body.prefix(300))")
                #expect(response.headers["x-martlet-warning"] == nil, "\(example.testDescription)")
                // A stream that fails says so in an event. (The server's description of errors is none.)
                #expect(!response.body.contains(#"data: {"error":{"#), "\(example.testDescription)")
            }
        }
    }

    /// Nothing that the server describes lacks an example.
    @Test func everyRouteAndFieldHasAnExample() throws {
        let examples = try Self.examples()
        let facts = OpenAPI.Facts(
            names: ["SmolLM2"], vocabularySize: 49152, contextLength: 1024, embeddingWidth: 576, seesImages: false,
            hasKeys: false)
        let document = try JSONSerialization.jsonObject(
            with: Data(OpenAPI.document(version: "1", facts).json().utf8))
        let description = try #require(document as? [String: Any])
        for (path, methods) in try #require(description["paths"] as? [String: [String: Any]]) {
            for (method, operation) in methods {
                let path = path.replacing("{model}", with: "SmolLM2")
                let own = examples.filter { $0.path == path && $0.method == method.uppercased() }
                #expect(!own.isEmpty, "\(method) \(path) has no example")
                let content = ((operation as? [String: Any])?["requestBody"] as? [String: Any])?["content"]
                guard let schema = ((content as? [String: Any])?["application/json"] as? [String: Any])?["schema"]
                else {
                    continue
                }
                let shown = own.reduce(into: Set<String>()) { $0.formUnion($1.fields) }
                // What chat and text completions share needs an example in one of them.
                let siblings = examples.filter { ["/v1/chat/completions", "/v1/completions"].contains($0.path) }
                let shared = Self.properties(["$ref": "#/components/schemas/Sampling"], in: description)
                for field in Self.properties(schema, in: description) {
                    let isShown =
                        shown.contains(field)
                        || shared.contains(field) && siblings.contains { $0.fields.contains(field) }
                    #expect(isShown, "\(method) \(path): '\(field)' has no example")
                }
            }
        }
    }

    /// The names of an object's members, through references and `allOf`, but of those that are there to be refused.
    private static func properties(_ schema: Any, in description: [String: Any]) -> Set<String> {
        guard let schema = schema as? [String: Any] else { return [] }
        let members = schema["properties"] as? [String: [String: Any]] ?? [:]
        var names = Set(members.filter { $0.value["description"] as? String != "Not supported" }.keys)
        if let reference = schema["$ref"] as? String {
            var target: Any = description
            for name in reference.split(separator: "/").dropFirst() {
                target = (target as? [String: Any])?[String(name)] ?? [:]
            }
            names.formUnion(properties(target, in: description))
        }
        for part in schema["allOf"] as? [Any] ?? [] { names.formUnion(properties(part, in: description)) }
        return names
    }
}
