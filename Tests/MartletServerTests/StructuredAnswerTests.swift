import Foundation
import Martlet
import MartletJinja
import MartletServer
import Testing

/// Forms and calls, with the real model.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)))
struct StructuredAnswerTests {
    private static func choices(_ kind: CompletionRequest.Kind, _ fields: String) async throws -> [[String: Any]] {
        let start =
            kind == .chat
            ? #"{"messages": [{"role": "user", "content": "Describe a person."}], "# : #"{"prompt": "A", "#
        let answer = try await CompletionResponseTests.answer(kind, start + fields + "}")
        return try #require(answer["choices"] as? [[String: Any]])
    }

    private static func content(_ choice: [String: Any]) -> String {
        (choice["message"] as? [String: Any])?["content"] as? String ?? choice["text"] as? String ?? ""
    }

    private static let person =
        #"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 18, "maximum": 99}}, "required": ["name", "age"], "additionalProperties": false}"#

    @Test func answersSatisfyASchema() async throws {
        let choices = try await Self.choices(
            .chat,
            #"""
            "n": 4, "seed": 1, "temperature": 1.5, "max_tokens": 120, "logprobs": true,
            "response_format": {"type": "json_schema", "json_schema": {"name": "person", "strict": true, "schema": \#(Self.person)}}
            """#)
        #expect(choices.count == 4)
        for choice in choices {
            #expect(choice["finish_reason"] as? String == "stop")
            let value = try Value(json: Self.content(choice))
            #expect((1...12).contains(value["name"]?.asString?.count ?? 0) || value["name"]?.asString == "")
            #expect((18...99).contains(value["age"]?.integer ?? 0))
        }
    }

    @Test(arguments: [
        (#""guided_choice": ["red", "green"]"#, "red|green"),
        (#""guided_regex": "[0-9]{3}-[a-z]{2}""#, "[0-9]{3}-[a-z]{2}"),
        (#""structured_outputs": {"grammar": "root ::= \"<\" [a-z]{1,8} \">\""}"#, "<[a-z]{1,8}>"),
        (#""guided_json": {"enum": ["x", 7]}"#, "\"x\"|7"), (#""structured_outputs": {"choice": ["é"]}"#, "é"),
    ]) func answersHaveTheFormThatIsAskedFor(_ fields: String, _ expression: String) async throws {
        let texts = try await Self.choices(.text, fields + #", "n": 3, "temperature": 2, "seed": 3, "max_tokens": 40"#)
            .map(Self.content)
        let regex = try Regex(expression)
        for text in texts { #expect(text.wholeMatch(of: regex) != nil, "\(text)") }
    }

    @Test func objectsAreObjects() async throws {
        let choices = try await Self.choices(
            .chat,
            #""response_format": {"type": "json_object", "schema": null, "json_schema": null}, "temperature": 0, "max_tokens": 200"#
        )
        let text = Self.content(choices[0])
        #expect(text.hasPrefix("{"))
        if choices[0]["finish_reason"] as? String == "stop" { #expect(try Value(json: text)["x"] == nil) }
    }

    private static let tools =
        #""tools": [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}}, "required": ["city", "unit"]}}}, {"type": "function", "function": {"name": "now"}}]"#

    @Test(arguments: [#""required""#, #"{"type": "function", "function": {"name": "get_weather"}}"#])
    func callsThatAreAskedForCome(_ choice: String) async throws {
        let choices = try await Self.choices(
            .chat,
            Self.tools + #", "tool_choice": \#(choice), "parallel_tool_calls": false, "max_tokens": 150, "seed": 1"#)
        #expect(choices[0]["finish_reason"] as? String == "tool_calls")
        let message = try #require(choices[0]["message"] as? [String: Any])
        #expect(message["content"] is NSNull)
        let calls = try #require(message["tool_calls"] as? [[String: Any]])
        #expect(calls.count == 1 && calls[0]["type"] as? String == "function")
        #expect((calls[0]["id"] as? String)?.hasPrefix("call_") == true)
        let function = try #require(calls[0]["function"] as? [String: Any])
        let arguments = try Value(json: function["arguments"] as? String ?? "")
        if function["name"] as? String == "get_weather" {
            #expect(["C", "F"].contains(arguments["unit"]?.asString) && arguments["city"]?.asString != nil)
        } else {
            #expect(choice.contains("required") && function["name"] as? String == "now")
        }
    }

    @Test func functionsAreTold() async throws {
        let with = try await CompletionRequestTests.chat(Self.tools)
        let without = try await CompletionRequestTests.chat(Self.tools + #", "tool_choice": "none""#)
        #expect(with.prompts[0].count > without.prompts[0].count + 50)
        for (fields, parameter) in [
            (Self.tools + #", "tool_choice": "some""#, "tool_choice"),
            (Self.tools + #", "tool_choice": {"type": "function", "function": {"name": "x"}}"#, "tool_choice"),
            (
                Self.tools + #", "tool_choice": "required", "response_format": {"type": "json_object"}"#,
                "response_format"
            ),
            (#""tools": [{"type": "function", "function": {"name": "a b"}}]"#, "tools[0].function.name"),
            (#""tools": [{"type": "retrieval"}]"#, "tools[0].type"), (#""tools": 7"#, "tools"),
            (
                #""tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}], "tool_choice": "required""#,
                "tools"
            ),
        ] {
            let error = await CompletionRequestTests.refusal { try await CompletionRequestTests.chat(fields) }
            #expect(error?.status == 400 && error?.parameter == parameter, "\(fields)")
        }
    }
}
