import MartletJinja
import Testing

/// Small templates rendered by Python's jinja2 (Fixtures/differential.json, whose `renderer` says how): every corner of
/// the language on its own. The text must be equal byte for byte, and what raises there must throw here.
@Suite struct DifferentialTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let value: Value

        var testDescription: String { value["name"]?.asString ?? "" }
    }

    static let cases: [Case] = Fixture.names(in: "").filter { $0.hasPrefix("differential") }.flatMap { file in
        ((try? Fixture.read(file))?["cases"]?.elements ?? []).map(Case.init)
    }

    @Test func casesArePresent() {
        #expect(Self.cases.count > 500)
    }

    @Test(arguments: cases) func agreesWithJinja2(_ test: Case) throws {
        let source = try #require(test.value["template"]?.asString)
        let context = test.value["context"]?.context ?? [:]
        func render() throws -> String {
            try Template(source).render(context, clock: .fixed(unixTime: 1_700_000_000))
        }
        if let expected = test.value["expected"]?.asString {
            let rendered = try render()
            #expect(Array(rendered.utf8) == Array(expected.utf8), "\(source) gave \(rendered)")
            return
        }
        let expected = try #require(test.value["error"]?.asString)
        let error = #expect(throws: JinjaError.self, "\(source) should raise \(expected)") { try render() }
        if expected.hasPrefix("TemplateError: ") {
            #expect(error?.kind == .raised)
            #expect("TemplateError: \(error?.message ?? "")" == expected)
        }
    }
}
