import MartletGrammar
import MartletJinja
import Testing

/// JSON Schemas: all that they let through satisfies them.
struct SchemaTests {
    static let schemas = [
        "true", "{}", #"{"type": "object"}"#, #"{"type": ["string", "null", "integer"], "maxLength": 3, "minimum": 7}"#,
        #"{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"], "additionalProperties": false}"#,
        #"{"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}, "c": {"enum": [1, 2]}}, "required": ["b"], "additionalProperties": {"type": "number"}}"#,
        #"{"type": "object", "patternProperties": {"^x": {"type": "integer"}, "y$": {"type": "string"}}, "additionalProperties": false}"#,
        #"{"type": "object", "properties": {"xa": {"minimum": 5}}, "patternProperties": {"^x": {"type": "integer"}}, "required": ["xa", "q"], "maxProperties": 3}"#,
        #"{"propertyNames": {"pattern": "^[ab]{1,2}$"}, "type": "object", "additionalProperties": {"const": 0}}"#,
        #"{"type": "object", "minProperties": 2, "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}}"#,
        #"{"type": "array", "items": {"type": "integer"}}"#,
        #"{"type": "array", "items": {"enum": ["é", "\n"]}, "minItems": 2, "maxItems": 4}"#,
        #"{"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": {"type": "integer"}, "minItems": 1}"#,
        #"{"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": false}"#,
        #"{"type": "array", "minItems": 3, "maxItems": 3, "items": {"const": 1}}"#,
        ##"{"type": "array", "items": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}, "maxItems": 2}"##,
        #"{"type": "string", "minLength": 2, "maxLength": 4}"#, #"{"type": "string", "pattern": "^[a-z]{2}-[0-9]+$"}"#,
        #"{"type": "string", "pattern": "ab", "maxLength": 5}"#,
        #"{"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b$"}], "minLength": 3}"#,
        #"{"type": "integer", "minimum": -17, "maximum": 250}"#,
        #"{"type": "integer", "exclusiveMinimum": 99, "maximum": 100}"#,
        #"{"type": "integer", "multipleOf": 7, "minimum": -50, "exclusiveMaximum": 100}"#,
        #"{"type": "number", "multipleOf": 3}"#,
        #"{"type": "number", "minimum": 0.25, "exclusiveMaximum": 12.5}"#,
        #"{"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 0}"#,
        #"{"type": "number", "maximum": -1e3}"#, #"{"type": "number", "minimum": 1e-3}"#,
        #"{"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 2}, {"type": "array", "items": {"type": "null"}}]}"#,
        #"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "additionalProperties": false, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}"#,
        #"{"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "null"}}, "required": ["kind", "x"]}, {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}, {"type": "null"}]}"#,
        ##"{"allOf": [{"$ref": "#/$defs/named"}, {"properties": {"age": {"type": "integer", "minimum": 0}}}], "$defs": {"named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}}}"##,
        ##"{"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": false}}}"##,
        #"{"enum": ["a", "ab", 1, 2.5, null, true, {"x": [1, "y"]}, "\"\\"], "type": ["string", "number", "object"]}"#,
        #"{"enum": ["ab", "abc", "b", 5], "pattern": "^a", "maxLength": 2}"#, #"{"const": {"a": [], "b": "ü"}}"#,
        #"{"type": "object", "properties": {"a": false, "b": true}, "required": ["b"]}"#,
        #"{"type": "object", "propertyNames": {"anyOf": [{"const": "a"}, {"pattern": "^b{2,3}$"}]}, "additionalProperties": {"type": "integer"}}"#,
        #"{"$id": "https://example.org/s", "type": "object", "properties": {"$id": {"type": "integer"}}}"#,
        #"{"type": "object", "properties": {"a\"b": {"const": 1}, "ü\n": {"const": 2}}, "required": ["a\"b", "ü\n"]}"#,
    ]

    @Test(arguments: schemas) func whatMasksLeadToSatisfiesTheSchema(_ text: String) throws {
        let validator = SchemaValidator(root: try Value(json: text))
        let grammar = try Vocabulary.grammar(.jsonSchema(text))
        var ended = 0
        for seed in 0..<30 {
            guard let answer = try grammar.randomText(UInt64(seed)) else { continue }
            ended += 1
            // Names that come twice are taken as parsers take them: the last one counts.
            let value = try Value(json: answer)
            #expect(validator.accepts(value), "\(answer)")
            #expect(try grammar.matches(Array(answer.utf8)))
        }
        // Walks among all of Unicode seldom meet the letter that a pattern waits for.
        #expect(ended > 0)
    }

    /// A text that does not satisfy the schema is never let through, and plain ones that do are.
    @Test(arguments: [
        (#"{"type": "integer", "minimum": -17, "maximum": 250}"#, -300...300, 1.0),
        (#"{"type": "number", "minimum": 0.25, "exclusiveMaximum": 12.5}"#, -10...60, 0.25),
        (#"{"type": "integer", "multipleOf": 7, "exclusiveMinimum": -50, "maximum": 105}"#, -120...120, 1),
        (#"{"type": "number", "exclusiveMinimum": -1.5, "maximum": 1.125}"#, -16...16, 0.125),
        (#"{"type": "integer", "exclusiveMinimum": 9, "maximum": 1000}"#, 0...1100, 1),
    ]) func rangesAreExact(_ text: String, _ range: ClosedRange<Int>, _ scale: Double) throws {
        let validator = SchemaValidator(root: try Value(json: text))
        let grammar = try Vocabulary.grammar(.jsonSchema(text))
        for index in range {
            let number = Double(index) * scale
            let spelled = Int(exactly: number).map(String.init) ?? "\(number)"
            #expect(try grammar.matches(Array(spelled.utf8)) == validator.accepts(Value(json: spelled)), "\(spelled)")
        }
    }

    /// 65 characters before the @.
    static let longAddress =
        String(repeating: "a", count: 32) + "." + String(repeating: "a", count: 32) + "@example.org"
    /// 263 characters.
    static let longHost = Array(repeating: String(repeating: "a", count: 32), count: 8).joined(separator: ".")

    @Test(arguments: [
        ("date", ["2024-02-28", "1999-12-31"], ["2024-02-30", "2024-13-01", "2024-1-1"]),
        ("time", ["23:59:59Z", "00:00:00.25+02:00"], ["24:00:00Z", "12:00:00"]),
        ("date-time", ["2024-02-28T12:00:00Z"], ["2024-02-28", "2024-02-28 12:00:00Z"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
        (
            "email", ["a.b@example.org", "someone@nationalgeographic.com"],
            ["a@b", "@example.org", "a b@example.org", longAddress]
        ),
        ("ipv4", ["127.0.0.1", "255.255.255.255"], ["256.0.0.1", "1.2.3", "01.2.3.4"]),
        ("ipv6", ["::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "::"], ["1:2:3", ":::", "1:2:3:4:5:6:7:8:9", "12345::"]),
        (
            "hostname",
            ["example.org", "a", "a-b-c.de", "raw.githubusercontent.com", "my-svc.name.svc.cluster.local"],
            ["-a", "a-", "a..b", "", "xn--a", "a--b.org", longHost]
        ),
        ("duration", ["P1DT2H", "P3W", "PT5S"], ["P", "1D", "PT"]),
        ("uri", ["https://example.org/a?b=c", "https://www.nationalgeographic.com/x"], ["example.org", "http:/x y"]),
    ]) func formatsAreHeldTo(_ name: String, _ yes: [String], _ no: [String]) throws {
        let grammar = try Vocabulary.grammar(.jsonSchema(#"{"type": "string", "format": "\#(name)"}"#))
        for text in yes { #expect(try grammar.matches(Array("\"\(text)\"".utf8)), "\(text)") }
        for text in no { #expect(try !grammar.matches(Array("\"\(text)\"".utf8)), "\(text)") }
    }

    @Test(arguments: [
        ("not", #"{"not": {}}"#), ("if", #"{"if": {}, "then": {}}"#), ("uniqueItems", #"{"uniqueItems": true}"#),
        ("contains", #"{"contains": {}}"#), ("dependentRequired", #"{"dependentRequired": {}}"#),
        ("unevaluatedProperties", #"{"properties": {"a": {"unevaluatedProperties": false}}}"#),
        ("format", #"{"format": "regex"}"#), ("multipleOf", #"{"multipleOf": 0.01}"#),
        ("minLengt", #"{"minLengt": 1}"#),
        ("$ref", ##"{"$ref": "other.json"}"##), ("oneOf", #"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#),
        ("oneOf", #"{"oneOf": [{"const": {"a": 1, "b": 2}}, {"const": {"b": 2, "a": 1}}]}"#),
        ("oneOf", #"{"oneOf": [{"const": 1e20}, {"enum": [0, 100000000000000000000]}]}"#),
        (
            "oneOf",
            #"{"type": "object", "propertyNames": {"oneOf": [{"pattern": "a"}, {"pattern": "b"}]}, "additionalProperties": {}}"#
        ),
        ("$id", #"{"properties": {"a": {"$id": "x", "type": "null"}}}"#),
        (
            "$id",
            ##"{"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$id": "x", "$ref": "#/$defs/n"}}, "$defs": {"n": {}}}"##
        ),
        ("$id", ##"{"$defs": {"a": {"$id": "x", "$defs": {"b": {}}}}, "$ref": "#/$defs/a/$defs/b"}"##),
        ("minProperties", #"{"type": "object", "minProperties": 3}"#), ("$dynamicRef", ##"{"$dynamicRef": "#x"}"##),
    ]) func unsupportedKeywordsAreRefusedByName(_ name: String, _ schema: String) throws {
        let error = #expect(throws: GrammarError.self) { try Vocabulary.grammar(.jsonSchema(schema)) }
        #expect(error?.kind == .unsupported)
        #expect(error?.message.contains(name) == true)
    }

    @Test(arguments: [
        "", "7", "[]", "{", #"{"type": "strin"}"#, #"{"type": 7}"#, #"{"properties": []}"#, #"{"minLength": -1}"#,
        #"{"minLength": 1.5}"#, #"{"required": "a"}"#, ##"{"$ref": "#/nowhere"}"##, #"{"pattern": "("}"#,
        #"{"enum": 7}"#,
        ##"{"$ref": "#"}"##, ##"{"allOf": [{"$ref": "#"}]}"##, ##"{"anyOf": [{"$ref": "#"}]}"##, #"{"minimum": "x"}"#,
        "false",
        ##"{"$defs": {"n": {"anyOf": [{"$ref": "#/$defs/n"}, {"const": "a"}]}}, "type": "object", "propertyNames": {"$ref": "#/$defs/n"}, "additionalProperties": {}}"##,
        #"{"type": "integer", "minimum": 2, "maximum": 1}"#, #"{"enum": []}"#,
        #"{"type": "string", "minLength": 3, "maxLength": 2}"#,
        #"{"type": "array", "items": false, "minItems": 1}"#,
        #"{"type": "object", "properties": {"a": false}, "required": ["a"]}"#,
        ##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
    ]) func brokenAndUnsatisfiableSchemasAreRefused(_ schema: String) {
        #expect(throws: GrammarError.self) { try Vocabulary.grammar(.jsonSchema(schema)) }
    }

    @Test func hostileSchemasAreBounded() throws {
        let nested =
            String(repeating: #"{"properties": {"a": "#, count: 100) + "{}" + String(repeating: "}}", count: 100)
        let many = "{\"enum\": [" + (0..<10_000).map { "\"value \($0)\"" }.joined(separator: ",") + "]}"
        let product =
            "{\"allOf\": ["
            + (0..<20).map { _ in #"{"anyOf": [{"type": "string"}, {"minLength": 1}, {"maxLength": 9}]}"# }
            .joined(separator: ",") + "]}"
        let properties =
            "{\"properties\": {"
            + (0..<5_000).map { "\"p\($0)\": {\"type\": \"string\"}" }
            .joined(separator: ",") + "}}"
        let doubling =
            "{\"$defs\": {"
            + (0..<40).map {
                ##""d\##($0)": {"anyOf": [{"$ref": "#/$defs/d\##($0 + 1)"}, {"type": "array", "items": {"$ref": "#/$defs/d\##($0 + 1)"}}]}"##
            }
            .joined(separator: ",") + ##", "d40": {}}, "$ref": "#/$defs/d0"}"##
        let references =
            "{\"$defs\": {"
            + (0..<40).map {
                ##""d\##($0)": {"allOf": [{"$ref": "#/$defs/d\##($0 + 1)"}, {"$ref": "#/$defs/d\##($0 + 1)"}]}"##
            }
            .joined(separator: ",") + ##", "d40": {}}, "$ref": "#/$defs/d0"}"##
        let enumerations =
            "{\"$defs\": {"
            + (0..<40).map {
                let next = ##"{"$ref": "#/$defs/d\##($0 + 1)"##
                return ##""d\##($0)": {"type": "object", "enum": [{}], "properties": {"a": \##(next)}, "##
                    + ##""b": \##(next), "minLength": 0}}}"##
            }
            .joined(separator: ",") + ##", "d40": {"type": "null"}}, "$ref": "#/$defs/d0"}"##
        // What one schema lists, thousands of times over.
        func repeated(_ schema: String) -> String {
            let references = Array(repeating: ##"{"$ref": "#/$defs/e"}"##, count: 2_000).joined(separator: ",")
            return #"{"$defs": {"e": "# + schema + #"}, "allOf": ["# + references + "]}"
        }
        let repeatedProperties = repeated(
            #"{"properties": {"# + (0..<20_000).map { "\"p\($0)\": true" }.joined(separator: ",") + "}}")
        let repeatedValues = repeated(many)
        // One character, for that matter.
        let longName = "n" + String(repeating: "\u{301}", count: 250_000)
        let members = #"{"properties": {"# + (0..<10_000).map { "\"p\($0)\": {}" }.joined(separator: ",") + "}}"
        let longPaths = #"{"properties": {""# + longName + #"": "# + members + "}}"
        let longReference =
            #"{"$defs": {""# + longName + #"": "# + members + ##"}, "$ref": "#/$defs/"## + longName + #""}"#
        let exclusive = "{\"oneOf\": [" + (0..<20_000).map { "{\"const\": \($0)}" }.joined(separator: ",") + "]}"
        let required = "{\"required\": [" + (0..<50_000).map { "\"\($0)\"" }.joined(separator: ",") + "]}"
        let alternatives =
            #"{"type": "string", "maxLength": 9, "pattern": "(?:"# + String(repeating: "|", count: 100_000)
            + "){255}\"}"
        let words = String(repeating: String(repeating: "a", count: 1_500) + "b", count: 500)
        let longValue = #"{"pattern": "^(?:(?:a|aa){1,2000}b){1,500}$", "const": ""# + words + "\"}"
        let ambiguousValue = #"{"pattern": "^(?:a|aa|b){1,9000}$", "const": ""# + words + "\"}"
        for schema in [
            alternatives, longValue, ambiguousValue, nested, many, product, properties, doubling, references,
            enumerations, exclusive, required,
            repeatedProperties, repeatedValues, longPaths, longReference,
            ##"{"properties": {"foo": {"$ref": "#"}}, "const": {"foo": {}}}"##, #"{"pattern": "(a+)+$"}"#,
            #"{"pattern": "^((a{0,99}){0,99}){0,99}$"}"#,
            #"{"pattern": "(a|b)*a(a|b){20}", "maxLength": 100}"#, #"{"maxLength": 1000000, "type": "string"}"#,
            #"{"minItems": 1000000, "type": "array"}"#, #"{"pattern": "x", "maxLength": 1000000}"#,
            #"{"minimum": 1e300}"#,
        ] {
            let start = ContinuousClock.now
            do {
                let grammar = try Vocabulary.grammar(.jsonSchema(schema))
                _ = try GrammarMatcher(grammar).mask()
            } catch {
                #expect(error is GrammarError)
            }
            // The limit is 0.7 s to compile; a machine that others use needs slack.
            #expect(ContinuousClock.now - start < .seconds(5), "\(schema.prefix(80))")
        }
    }
}
