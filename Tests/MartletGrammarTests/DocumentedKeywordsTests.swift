import Foundation
import TestSupport
import Testing

@testable import MartletGrammar

/// What docs/serving/API.md says that a schema may have is what it may have.
struct DocumentedKeywordsTests {
    /// All that the drafts and OpenAPI know, with what each may be.
    private static let keywords = [
        "type": #""string""#, "enum": "[1]", "const": "1", "anyOf": "[{}]", "oneOf": "[{}]", "allOf": "[{}]",
        "$ref": ##""#/$defs/x""##, "$id": #""https://example.org/x""#, "minLength": "1", "maxLength": "1",
        "pattern": #""a""#, "format": #""date""#, "minimum": "1", "maximum": "1", "exclusiveMinimum": "1",
        "exclusiveMaximum": "1", "multipleOf": "100", "items": "{}", "prefixItems": "[{}]", "additionalItems": "{}",
        "minItems": "1", "maxItems": "1", "properties": "{}", "patternProperties": #"{"a": {}}"#,
        "additionalProperties": "{}", "required": #"["a"]"#, "minProperties": "0", "maxProperties": "1",
        "propertyNames": #"{"pattern": "a"}"#, "title": "1", "description": "1", "default": "1", "example": "1",
        "examples": "1", "deprecated": "1", "readOnly": "1", "writeOnly": "1", "$comment": "1", "$schema": "1",
        "$defs": "{}", "definitions": "{}", "$vocabulary": "{}", "id": "1", "contentMediaType": "1",
        "contentEncoding": "1", "discriminator": "{}", "not": "{}", "if": "{}", "then": "{}", "else": "{}",
        "contains": "{}", "minContains": "1", "maxContains": "1", "uniqueItems": "true", "dependentRequired": "{}",
        "dependentSchemas": "{}", "dependencies": "{}", "unevaluatedItems": "{}", "unevaluatedProperties": "{}",
        "contentSchema": "{}", "$anchor": #""a""#, "$dynamicRef": ##""#a""##, "$dynamicAnchor": #""a""#,
        "$recursiveRef": ##""#""##, "$recursiveAnchor": "true", "nullable": "true",
    ]
    private static let formats = [
        "date", "time", "date-time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6",
        "uri",
        "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "json-pointer", "relative-json-pointer",
        "regex",
    ]

    private static let page = try? String(
        contentsOf: SharedFixtures.repository.appending(path: "docs/serving/API.md"), encoding: .utf8)

    /// What stands between backticks in a row of the table.
    private static func row(_ title: String) throws -> Set<String> {
        let page = try #require(page)
        let line = try #require(page.split(separator: "\n").first { $0.hasPrefix("| \(title) |") })
        return Set(line.matches(of: /`([^`]+)`/).map { String($0.1) })
    }

    @Test func everyKeywordIsDocumentedAsItIs() throws {
        let (held, ignored, refused) = try (Self.row("held to"), Self.row("read over"), Self.row("refused"))
        #expect(held.union(ignored).union(refused) == Set(Self.keywords.keys))
        #expect(held.count + ignored.count + refused.count == Self.keywords.count)
        #expect(ignored == Subschema.annotations)
        for (keyword, value) in Self.keywords {
            let schema =
                keyword == "$ref" ? #"{"$ref": \#(value), "$defs": {"x": {}}}"# : #"{"\#(keyword)": \#(value)}"#
            switch Result(catching: { try Vocabulary.grammar(.jsonSchema(schema)) }) {
            case .success(let grammar):
                #expect(!refused.contains(keyword), "\(keyword)")
                if ignored.contains(keyword) { #expect(try grammar.matches(Array("[null]".utf8)), "\(keyword)") }
            case .failure(let error):
                let error = try #require(error as? GrammarError)
                #expect(refused.contains(keyword) && error.kind == .unsupported, "\(keyword): \(error)")
                #expect(error.message.contains("'\(keyword)'"))
            }
        }
    }

    @Test func everyFormatIsDocumented() throws {
        #expect(try Self.row("formats") == Set(Self.formats.filter { StringFormat.expression($0) != nil }))
    }

    @Test func limitsAreDocumented() throws {
        let limits = GrammarLimits()
        let page = try #require(Self.page)
        #expect(limits.time == .milliseconds(700) && page.contains("700 ms"))
        #expect(limits.nodes == 200_000 && page.contains("200,000 nodes"))
        #expect(limits.configurations == 4_096 && page.contains("4,096 ways"))
        #expect(limits.sourceBytes == 1 << 20 && page.contains("1 MiB"))
        for (divisor, isSupported) in [(100, true), (101, false)] {
            let grammar = try? Vocabulary.grammar(.jsonSchema(#"{"multipleOf": \#(divisor)}"#))
            #expect((grammar != nil) == isSupported)
        }
    }
}
