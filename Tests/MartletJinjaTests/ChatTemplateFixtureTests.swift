import MartletJinja
import Testing

/// Published chat templates, rendered by transformers (Fixtures/chat): the text must be equal byte for byte.
@Suite struct ChatTemplateFixtureTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let file: String
        let template: String
        let value: Value

        var testDescription: String { "\(file) \(value["case"]?.asString ?? "")" }
    }

    static let cases: [Case] = Fixture.names(in: "chat").flatMap { file -> [Case] in
        guard let fixture = try? Fixture.read("chat/\(file)"), let template = fixture["chat_template"]?.asString
        else { return [] }
        return fixture["cases"]?.elements.map { Case(file: file, template: template, value: $0) } ?? []
    }

    @Test func fixturesArePresent() {
        #expect(Self.cases.count >= 136)
    }

    @Test(arguments: cases) func rendersLikeTransformers(_ test: Case) throws {
        var context = test.value["kwargs"]?.context ?? [:]
        context["messages"] = test.value["messages"] ?? Value.null
        context["tools"] = test.value["tools"] ?? Value.null
        context["documents"] = Value.null
        context["add_generation_prompt"] = test.value["add_generation_prompt"] ?? .bool(false)
        let template = try Template(test.template)
        if let expected = test.value["expected"]?.asString {
            let rendered = try template.render(context, clock: .fixed(unixTime: 0))
            #expect(Array(rendered.utf8) == Array(expected.utf8))
        } else {
            let expected = try #require(test.value["error"]?.asString)
            let error = #expect(throws: JinjaError.self) {
                try template.render(context, clock: .fixed(unixTime: 0))
            }
            if expected.hasPrefix("TemplateError: ") {
                #expect("TemplateError: \(error?.message ?? "")" == expected)
            }
        }
    }
}
