import MartletJinja
import TestSupport
import Testing

/// Values as the callers of templates make them.
@Suite struct ValueTests {
    private func render(_ source: String, _ context: [String: Value] = [:]) throws -> String {
        try Template(source).render(context, clock: .fixed(unixTime: 0))
    }

    @Test func jsonKeepsOrderAndNumberTypes() throws {
        let text =
            #"{"z": 1, "a": [1.0, 1e3, -0.5, true, null, {}], "big": 18446744073709551615, "z2": "\u00e9\ud83d\ude00\n"}"#
        let value = try Value(json: text)
        let expected = #"{"z": 1, "a": [1.0, 1000.0, -0.5, true, null, {}], "big": 18446744073709551615, "z2": "é😀\n"}"#
        #expect(try render("{{ v|tojson }}", ["v": value]) == expected)
    }

    @Test func ofEqualJSONKeysTheLastWins() throws {
        #expect(try render("{{ v }}", ["v": try Value(json: #"{"a": 1, "b": 2, "a": 3}"#)]) == "{'a': 3, 'b': 2}")
    }

    @Test func halfSurrogatesBecomeReplacementCharacters() throws {
        #expect(try Value(json: #""\ud83d x \ude00""#).asString == "\u{FFFD} x \u{FFFD}")
    }

    @Test(arguments: [
        #"{"a": 1, "a": 2}"#, #"{"b": [{"a": 1, "\u0061": 2}]}"#, #""\ud83d""#, #""\ude00""#, #""\ud83d x""#,
        "\u{FEFF}1",
    ]) func strictJSONRefusesWhatIsAmbiguous(text: String) throws {
        #expect(throws: JinjaError.self) { try Value(strictJSON: Array(text.utf8)) }
    }

    @Test func valuesOfADocumentAreCounted() throws {
        let text = Array(#"{"a": [1, 2, {}]}"#.utf8)
        #expect(throws: Never.self) { try Value(strictJSON: text, maxValues: 5) }
        #expect(throws: JinjaError.self) { try Value(strictJSON: text, maxValues: 4) }
    }

    @Test func strictJSONIsUTF8() throws {
        #expect(throws: JinjaError.self) { try Value(strictJSON: [0x22, 0xFF, 0x22]) }
        #expect(throws: JinjaError.self) { try Value(strictJSON: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
        #expect(try Value(strictJSON: Array(#""\ud83d\ude00 é""#.utf8)).asString == "😀 é")
    }

    @Test func jsonIsWrittenCompactly() throws {
        let text = #"{"b":[1,-2.5,true,null,{}],"a":"\"\\\n\u0001é"}"#
        #expect(try Value(strictJSON: Array(text.utf8)).json() == text)
    }

    @Test(arguments: [
        "", "{", "[", "[1,]", "{\"a\"}", "{\"a\":}", "{a: 1}", "01", "1.", "-", "1e", "\"", "\"\\x\"", "\"\\u12\"",
        "\"\n\"", "nul", "[1] 2",
        "'a'", "+1", ".5", "\u{FEFF}1",
    ])
    func malformedJSONIsRefused(_ text: String) {
        let error = #expect(throws: JinjaError.self) { try Value(json: text) }
        #expect(error?.kind == .invalidJSON)
    }

    @Test func deepJSONIsRefused() {
        for bracket in ["[", "{\"a\":"] {
            let text = String(repeating: bracket, count: 1_000_000)
            #expect(throws: JinjaError.self) { try Value(json: text) }
        }
    }

    /// Swift's strings count "\r\n" as one character and hold "é" equal to "e" with an accent; Python's do not.
    @Test func stringsAreSequencesOfScalars() throws {
        let context: [String: Value] = ["crlf": .string("\r\n"), "a": .string("\u{E9}"), "b": .string("e\u{301}")]
        #expect(
            try render("{{ crlf|length }} {{ a == b }} {{ {a: 1, b: 2}|length }} {{ b[0] }} {{ b in a }}", context)
                == "2 False 2 e False")
    }

    @Test func largeDictionariesFindEveryKey() throws {
        let entries = (0..<1_000).map { ("key\($0)", Value.int($0)) }
        let source =
            "{% for k in d %}{% if d[k] != loop.index0 %}wrong{% endif %}{% endfor %}{{ d.key999 }}{{ d.key1000 is defined }}"
        #expect(try render(source, ["d": .dictionary(entries)]) == "999False")
    }

    @Test func errorsNameTheLine() throws {
        let runtime = #expect(throws: JinjaError.self) { try render("a\n{% if true %}\n{{ x.y }}\n{% endif %}") }
        #expect(runtime?.line == 3)
        #expect(runtime?.kind == .undefined)
        #expect(runtime?.description == "line 3: 'x' is undefined")
        let syntax = #expect(throws: JinjaError.self) { try render("a\n\n{% nonsense %}") }
        #expect(syntax?.line == 3)
        #expect(syntax?.kind == .syntax)
        let raised = #expect(throws: JinjaError.self) { try render("{{ raise_exception('no') }}") }
        #expect(raised?.kind == .raised)
        #expect(raised?.message == "no")
    }

    @Test func contextVariablesShadowGlobals() throws {
        #expect(try render("{{ range }}", ["range": .int(5)]) == "5")
    }

    /// A template is parsed once and rendered from many tasks.
    @Test func templatesRenderConcurrently() async throws {
        let template = try Template(
            "{% set ns = namespace(s=0) %}{% for x in xs %}{% set ns.s = ns.s + x %}{% endfor %}{{ ns.s }}")
        try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for count in 0..<50 {
                group.addTask { (count, try template.render(["xs": .list((0..<count).map(Value.int))])) }
            }
            for try await (count, text) in group { #expect(text == String(count * (count - 1) / 2)) }
        }
    }

    /// Any bytes as a template: an error or a text, and no trap. The cases are cut and mixed from working ones.
    @Test func mutatedTemplatesDoNotTrap() throws {
        let pieces = [
            "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", " if ", " for ", " in ", " else ", "endif", "endfor", "macro",
            "x", "'", "\"", "\\", "[", "]",
            "(", ")", "{", "}", ":", ",", ".", "|", "~", "**", "//", "%", "1", "0", "9223372036854775807", "1e999",
            "trim", "tojson", " is ", " not ",
            "set ", "=", "loop", "\n", " ", "é", "\u{0}", "raw", "endraw", "*", "slice(0)", "batch(-1)", "round(400)",
            "items", "join", "::", "range(",
        ]
        var generator = TestGenerator(seed: 42)
        var limits = Limits()
        limits.maxSteps = 10_000
        var rendered = 0
        for _ in 0..<5_000 {
            var source = Bool.random(using: &generator) ? "{{ " : "{% "
            for _ in 0..<Int.random(in: 1...12, using: &generator) {
                source += pieces.randomElement(using: &generator) ?? ""
            }
            source += Bool.random(using: &generator) ? " }}" : " %}"
            if (try? Template(source, limits: limits).render(["x": .list([.int(.min), .string("a"), .float(.nan)])]))
                != nil
            {
                rendered += 1
            }
        }
        #expect(rendered > 0)
    }
}
