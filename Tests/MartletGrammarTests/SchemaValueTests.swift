import Foundation
import MartletGrammar
import MartletJinja
import Testing

/// Which texts exactly a schema lets through.
struct SchemaValueTests {
    private static func expect(_ schema: String, takes yes: [String], not no: [String]) throws {
        let grammar = try Vocabulary.grammar(.jsonSchema(schema))
        for text in yes { #expect(try grammar.matches(Array(text.utf8)), "\(text)") }
        for text in no { #expect(try !grammar.matches(Array(text.utf8)), "\(text)") }
    }

    /// Of values that a schema lists, those that satisfy all else it says, as they were written.
    @Test(arguments: [
        (#"{"properties": {"a": {}, "b": {}}, "enum": [{"b": 1, "a": 2}]}"#, [#"{"b":1,"a":2}"#], [#"{"a":2,"b":1}"#]),
        (#"{"properties": {"a": {}}, "const": {"a": 1, "c": 2}}"#, [#"{"a":1,"c":2}"#], []),
        (#"{"type": "number", "minimum": 0, "enum": [1e-7, -1, "x"]}"#, ["1e-07"], ["-1", #""x""#]),
        (#"{"type": "integer", "exclusiveMaximum": 7, "enum": [7, 6.5, 6.0, 70]}"#, ["6"], ["7", "6.5", "70"]),
        (
            #"{"enum": [{"a": 1}, {"a": "x"}, {"b": 1}, {}], "properties": {"a": {"type": "integer"}}, "required": ["a"]}"#,
            [#"{"a":1}"#], [#"{"a":"x"}"#, #"{"b":1}"#, "{}"]
        ),
        (
            #"{"enum": [[1, 2], [1, "x"], [2, 2], [1], []], "prefixItems": [{"const": 1}], "items": {"type": "integer"}, "minItems": 1}"#,
            ["[1,2]", "[1]"], [#"[1,"x"]"#, "[2,2]", "[]"]
        ),
        (
            #"{"enum": [{"x1": 1}, {"x1": "s"}, {"y": null}, {"y": 1}, {"yyy": null}], "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": {"type": "null"}, "propertyNames": {"maxLength": 2}}"#,
            [#"{"x1":1}"#, #"{"y":null}"#], [#"{"x1":"s"}"#, #"{"y":1}"#, #"{"yyy":null}"#]
        ),
        (#"{"enum": [{}, {"a": 1}, {"a": 1, "b": 2}], "minProperties": 1, "maxProperties": 1}"#, [#"{"a":1}"#], ["{}"]),
        (#"{"enum": [1, 2, 3, 6], "anyOf": [{"multipleOf": 2}, {"multipleOf": 3}]}"#, ["2", "3", "6"], ["1"]),
        (#"{"enum": [1, 2, 3, 6], "oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}"#, ["2", "3"], ["1", "6"]),
        (
            ##"{"enum": [[], [[]], [[[]]], [1]], "$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/n"}}}}"##,
            ["[]", "[[]]", "[[[]]]"], ["[1]"]
        ),
        (
            #"{"enum": ["aab", "b", "aa"], "pattern": "^(?:a|aa)+b?$", "minLength": 3}"#, [#""aab""#],
            [#""aa""#, #""b""#]
        ),
        (
            #"{"allOf": [{"enum": [1, {"a": 1, "b": [2.0]}]}, {"const": {"b": [2], "a": 1}}]}"#, [#"{"a":1,"b":[2]}"#],
            ["1"]
        ),
    ]) func listedValuesHoldTheRest(_ schema: String, _ yes: [String], _ no: [String]) throws {
        try Self.expect(schema, takes: yes, not: no)
    }

    /// Whether a text is an address can't be told for sure, so nor can it that exactly one of these holds.
    @Test func whatIsNotSureIsNotLetThrough() {
        let name = String(repeating: "a", count: 64)
        let schema = #"{"enum": ["\#(name)@example.org"], "oneOf": [{"format": "email"}, {"type": "string"}]}"#
        #expect(throws: GrammarError.self) { try Vocabulary.grammar(.jsonSchema(schema)) }
    }

    @Test(arguments: [
        (#"{"anyOf": [{"const": "a"}, {"const": "b"}]}"#, ["a", "b"], ["zzz", "ab", ""]),
        (#"{"minLength": 2, "anyOf": [{"pattern": "^x"}, {"enum": ["ab", "c"]}]}"#, ["xy", "ab"], ["c", "x", "zz"]),
        (#"{"oneOf": [{"maxLength": 1}, {"minLength": 3}]}"#, ["", "a", "abc"], ["ab"]),
        (
            #"{"pattern": "^a{2,4}b{0,2}$", "maxLength": 5}"#, ["aa", "aaaa", "aaab", "aaabb"],
            ["a", "aaaabb", "aabbb"]
        ),
        (
            #"{"anyOf": [{"pattern": "a"}, {"pattern": "b"}], "allOf": [{"anyOf": [{"maxLength": 2}, {"const": "aaa"}]}]}"#,
            ["xa", "b", "aaa"], ["x", "xxa", "aab"]
        ),
        (#"{"enum": ["a", "b"], "anyOf": [{"const": "b"}, {"pattern": "c"}]}"#, ["b"], ["a", "c"]),
    ]) func namesHoldTheirAlternatives(_ schema: String, _ yes: [String], _ no: [String]) throws {
        try Self.expect(
            #"{"type": "object", "propertyNames": \#(schema), "additionalProperties": {"type": "integer"}}"#,
            takes: yes.map { #"{"\#($0)":1}"# }, not: no.map { #"{"\#($0)":1}"# })
    }

    /// Texts that look alike are different names, values, patterns and references.
    @Test func namesAreComparedByTheirScalars() throws {
        let (one, other) = ("\u{E9}", "e\u{301}")
        try Self.expect(
            #"{"type": "object", "properties": {"\#(one)": {"type": "integer"}, "\#(other)": {"type": "null"}}, "required": ["\#(one)", "\#(other)"], "additionalProperties": false}"#,
            takes: [#"{"\#(one)":1,"\#(other)":null}"#], not: [#"{"\#(one)":1}"#, #"{"\#(one)":1,"\#(one)":null}"#])
        try Self.expect(
            #"{"type": "string", "allOf": [{"pattern": "\#(one)"}, {"pattern": "\#(other)"}]}"#,
            takes: ["\"\(one)\(other)\""], not: ["\"\(one)\"", "\"\(other)\""])
        try Self.expect(
            ##"{"$defs": {"\##(one)": {"type": "integer"}, "\##(other)": {"type": "null"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/\##(one)"}, "b": {"$ref": "#/$defs/\##(other)"}}, "required": ["a", "b"]}"##,
            takes: [#"{"a":1,"b":null}"#], not: [#"{"a":1,"b":1}"#])
        #expect(throws: GrammarError.self) {
            try Vocabulary.grammar(.jsonSchema(#"{"const": "\#(one)", "enum": ["\#(other)"]}"#))
        }
    }

    /// No number that is let through is read as the bound that it must not be.
    @Test(arguments: ["10", "0.3", "1", "123456.789", "0.00000000000000001", "999999999999"])
    func excludedBoundsAreKept(_ text: String) throws {
        let bound = try #require(Decimal(string: text))
        for (keyword, sign) in [("exclusiveMaximum", Decimal(-1)), ("exclusiveMinimum", Decimal(1))] {
            let grammar = try Vocabulary.grammar(.jsonSchema(#"{"type": "number", "\#(keyword)": \#(text)}"#))
            var taken = 0
            for digits in 0..<34 {
                for digit in 1...9 {
                    let number = bound + sign * Decimal(sign: .plus, exponent: -digits, significand: Decimal(digit))
                    let spelled = number.description
                    guard try grammar.matches(Array(spelled.utf8)) else { continue }
                    taken += 1
                    let (read, limit) = (try #require(Double(spelled)), try #require(Double(text)))
                    #expect(sign < 0 ? read < limit : read > limit, "\(spelled)")
                }
            }
            #expect(taken >= 10)
        }
    }

    /// Only numbers that may be read as the bound are left out, and not even those where there are no others.
    @Test(arguments: [
        (#""exclusiveMinimum": 0, "exclusiveMaximum": 1000000000000000"#, ["0.5", "3.14", "999999999999999"]),
        (#""exclusiveMaximum": 1000000000000"#, ["0.125", "-0.5", "999999999999.125"]),
        (#""exclusiveMinimum": 999999999999999, "exclusiveMaximum": 1000000000000000"#, ["999999999999999.5"]),
        (#""exclusiveMinimum": 0.1234567890123451, "exclusiveMaximum": 0.1234567890123459"#, ["0.1234567890123455"]),
    ])
    func excludedBoundsLeaveTheRest(_ bounds: String, _ numbers: [String]) throws {
        try Self.expect(#"{"type": "number", \#(bounds)}"#, takes: numbers, not: ["1e99", "1000000000000000"])
    }

    /// A schema may refer to itself inside of alternatives that other keywords narrow.
    @Test func narrowedAlternativesMayBeRecursive() throws {
        func nested(_ count: Int, _ inner: String) -> String {
            String(repeating: #"{"next":"#, count: count) + inner + String(repeating: "}", count: count)
        }
        for keyword in ["anyOf", "oneOf"] {
            try Self.expect(
                ##"{"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"next": {"type": ["object", "null"], "\##(keyword)": [{"$ref": "#/$defs/N"}, {"type": "null"}]}}}}}"##,
                takes: ["{}", nested(1, "null"), nested(300, "null"), nested(300, "{}")],
                not: ["null", nested(300, "1"), nested(1, "[]")])
        }
        try Self.expect(
            ##"{"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"required": ["v"], "anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]}}}}}"##,
            takes: ["{}", #"{"v":1,"next":{"v":2,"next":{"v":3,"next":null}}}"#],
            not: [#"{"v":1,"next":{}}"#, #"{"v":1,"next":{"v":2,"next":{}}}"#])
    }
}
