import MartletJinja

/// Reads JSON Schemas (2020-12, and what earlier drafts and OpenAI's structured outputs spell alike) into constraints.
struct SchemaReader {
    let root: Value
    let limits: GrammarLimits

    /// Largest of the counts in a schema.
    private static let largestCount = 1_000_000
    /// Integers' remainders are tracked digit by digit.
    private static let largestDivisor = 100

    private func malformed(_ schema: Subschema, _ what: String) -> GrammarError {
        .malformed("the schema at \(schema.path): \(what)")
    }

    private func unsupported(_ schema: Subschema, _ keyword: String, _ why: String = "is not supported") -> GrammarError
    {
        .unsupported("the schema at \(schema.path): '\(keyword)' \(why)")
    }

    // MARK: References

    /// The subschema that `#` and a JSON pointer name.
    func resolve(_ reference: String, from schema: Subschema) throws(GrammarError) -> Subschema {
        guard reference.hasPrefix("#"), reference == "#" || reference.hasPrefix("#/") else {
            throw unsupported(schema, "$ref", "to '\(reference)' is not supported: references begin with '#/'")
        }
        var value = root
        for part in reference.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let name = Self.percentDecoded(String(part)).replacing("~1", with: "/").replacing("~0", with: "~")
            switch value {
            case .dictionary(let members):
                guard let member = members[name] else { throw malformed(schema, "'\(reference)' names nothing") }
                value = member
            case .list(let list):
                guard let index = Int(name), list.elements.indices.contains(index) else {
                    throw malformed(schema, "'\(reference)' names nothing")
                }
                value = list.elements[index]
            default: throw malformed(schema, "'\(reference)' names nothing")
            }
            if case .dictionary(let members) = value, members["$id"]?.asString != nil {
                throw unsupported(schema, "$ref", "through a schema with an '$id' is not supported")
            }
        }
        return Subschema(value: value, path: reference)
    }

    private static func percentDecoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let decoded = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(decoded)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Keywords

    /// What schemas say together.
    func constraints(
        _ schemas: [Subschema], _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> SchemaConstraints {
        var constraints = SchemaConstraints()
        constraints.schemas = schemas
        for schema in schemas { try gather(schema, into: &constraints, &builder) }
        return constraints
    }

    /// Adds what a schema says to `constraints`.
    ///
    /// - Parameter open: references that are being followed.
    func gather(
        _ schema: Subschema, into constraints: inout SchemaConstraints, _ builder: inout AutomatonBuilder,
        open: [String] = []
    ) throws(GrammarError) {
        guard open.count <= limits.depth else { throw .tooComplex("the schema is nested too deeply") }
        // Each reference is followed anew, so few of them can stand for very many.
        constraints.parts += 1
        guard constraints.parts <= limits.alternatives else {
            throw .tooComplex("the schema's references multiply to more than \(limits.alternatives)")
        }
        try charge(schema.value, &constraints, &builder)
        if case .bool(let flag) = schema.value {
            if !flag { constraints.isFalse = true }
            return
        }
        guard case .dictionary(let object) = schema.value else {
            throw malformed(schema, "expected an object or a boolean")
        }
        var elements = SchemaConstraints.Elements()
        var members = SchemaConstraints.Members()
        var (hasElements, hasMembers) = (false, false)
        for (key, value) in zip(object.keys, object.values) {
            let keyword = key.asString ?? ""
            if Subschema.isAnnotation(keyword) { continue }
            try charge(value, &constraints, &builder)
            func part() -> Subschema { schema.part(value, keyword) }
            switch keyword {
            case "$id":
                // What is inside would refer to it instead of to the root.
                guard schema.path == "#" else {
                    throw unsupported(schema, keyword, "other than at the root is not supported")
                }
            case "$ref":
                guard let reference = value.asString else { throw malformed(schema, "'$ref' must be a string") }
                guard !open.contains(where: { ExactString($0) == ExactString(reference) }) else {
                    throw malformed(schema, "'$ref' to '\(reference)' leads back to itself")
                }
                try gather(resolve(reference, from: schema), into: &constraints, &builder, open: open + [reference])
            case "allOf":
                for part in try list(value, keyword, schema) {
                    try gather(part, into: &constraints, &builder, open: open + [""])
                }
            case "anyOf", "oneOf":
                constraints.groups.append(
                    .init(alternatives: try list(value, keyword, schema), isExclusive: keyword == "oneOf"))
            case "type": try readType(value, schema, &constraints)
            case "enum":
                guard case .list(let list) = value else { throw malformed(schema, "'enum' must be an array") }
                try restrict(&constraints, to: list.elements, &builder)
            case "const": try restrict(&constraints, to: [value], &builder)
            case "minLength": constraints.minLength = max(constraints.minLength, try count(value, keyword, schema))
            case "maxLength":
                constraints.maxLength = min(constraints.maxLength ?? .max, try count(value, keyword, schema))
            case "pattern":
                guard let text = value.asString else { throw malformed(schema, "'pattern' must be a string") }
                constraints.match(text)
            case "format":
                guard let name = value.asString else { throw malformed(schema, "'format' must be a string") }
                guard StringFormat.expression(name) != nil else {
                    throw unsupported(schema, "format", "'\(name)' is not supported")
                }
                if !constraints.formats.contains(name) { constraints.formats.append(name) }
            case "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum":
                // Draft 4 has booleans beside the bounds.
                if case .bool(let flag) = value {
                    if flag { throw unsupported(schema, keyword, "as a boolean is not supported") }
                    continue
                }
                guard let number = Decimal(value) else { throw malformed(schema, "'\(keyword)' must be a number") }
                let bound = NumberBound(value: number, isInclusive: !keyword.hasPrefix("exclusive"))
                if keyword.lowercased().hasSuffix("minimum") {
                    constraints.lower = .lower(constraints.lower, bound)
                } else {
                    constraints.upper = .upper(constraints.upper, bound)
                }
            case "multipleOf": try readDivisor(value, schema, &constraints)
            case "items":
                hasElements = true
                // Before 2020 an array was what is now called prefixItems.
                if case .list = value {
                    elements.prefix = try list(value, keyword, schema)
                } else {
                    elements.rest = part()
                }
            case "prefixItems":
                hasElements = true
                elements.prefix = try list(value, keyword, schema)
            case "additionalItems":
                if case .list? = object["items"] { elements.rest = part() }
            case "minItems": constraints.minItems = max(constraints.minItems, try count(value, keyword, schema))
            case "maxItems": constraints.maxItems = min(constraints.maxItems ?? .max, try count(value, keyword, schema))
            case "uniqueItems":
                if case .bool(false) = value { continue }
                throw unsupported(schema, keyword)
            case "properties":
                hasMembers = true
                for (name, part) in try self.members(value, keyword, schema) { members.properties.append((name, part)) }
            case "patternProperties":
                hasMembers = true
                for (name, part) in try self.members(value, keyword, schema) { members.patterns.append((name, part)) }
            case "additionalProperties":
                hasMembers = true
                members.additional = part()
            case "required":
                guard case .list(let names) = value else { throw malformed(schema, "'required' must be an array") }
                for name in names.elements {
                    guard let name = name.asString else { throw malformed(schema, "'required' must have strings") }
                    constraints.require(name)
                }
            case "minProperties":
                constraints.minProperties = max(constraints.minProperties, try count(value, keyword, schema))
            case "maxProperties":
                constraints.maxProperties = min(constraints.maxProperties ?? .max, try count(value, keyword, schema))
            case "propertyNames": constraints.names.append(part())
            default: throw unsupported(schema, keyword)
            }
        }
        if hasElements { constraints.elements.append(elements) }
        if hasMembers { constraints.members.append(members) }
    }

    /// What is gathered is bounded, in time as in memory.
    private func charge(
        _ value: Value, _ constraints: inout SchemaConstraints, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) {
        let entries = value.entryCount
        constraints.entries += entries
        guard constraints.entries <= limits.nodes else {
            throw .tooComplex("the schema's references multiply to more than \(limits.nodes) entries")
        }
        try builder.charge(entries)
    }

    private func list(_ value: Value, _ keyword: String, _ schema: Subschema) throws(GrammarError) -> [Subschema] {
        guard case .list(let list) = value else { throw malformed(schema, "'\(keyword)' must be an array") }
        return list.elements.enumerated().map { schema.part($1, keyword, String($0)) }
    }

    private func members(
        _ value: Value, _ keyword: String, _ schema: Subschema
    ) throws(GrammarError) -> [(String, Subschema)] {
        guard case .dictionary(let members) = value else { throw malformed(schema, "'\(keyword)' must be an object") }
        return zip(members.keys, members.values).map { key, value in
            let name = key.asString ?? ""
            return (name, schema.part(value, keyword, name))
        }
    }

    private func count(_ value: Value, _ keyword: String, _ schema: Subschema) throws(GrammarError) -> Int {
        var number: Int?
        if case .int(let count) = value { number = count }
        if case .float(let count) = value { number = Int(exactly: count) }
        guard let number, number >= 0 else { throw malformed(schema, "'\(keyword)' must be a whole number, 0 or more") }
        guard number <= Self.largestCount else {
            throw .tooComplex("the schema at \(schema.path): '\(keyword)' is more than \(Self.largestCount)")
        }
        return number
    }

    private func readType(
        _ value: Value, _ schema: Subschema, _ constraints: inout SchemaConstraints
    ) throws(GrammarError) {
        var names: [String] = []
        if let name = value.asString { names = [name] }
        if case .list(let list) = value { names = list.elements.compactMap(\.asString) }
        guard !names.isEmpty else { throw malformed(schema, "'type' must be a name or an array of names") }
        var types: Set<JSONType> = []
        for name in names {
            guard let type = JSONType(rawValue: name == "integer" ? "number" : name) else {
                throw malformed(schema, "there is no type '\(name)'")
            }
            types.insert(type)
        }
        constraints.types.formIntersection(types)
        if names.contains("integer"), !names.contains("number") { constraints.integersOnly = true }
    }

    private func restrict(
        _ constraints: inout SchemaConstraints, to values: [Value], _ builder: inout AutomatonBuilder
    ) throws(GrammarError) {
        let values = try SchemaConstraints.Values(values, &builder)
        constraints.values = try constraints.values?.common(values, &builder) ?? values
    }

    private func readDivisor(
        _ value: Value, _ schema: Subschema, _ constraints: inout SchemaConstraints
    ) throws(GrammarError) {
        guard let number = Decimal(value), !number.isNegative, !number.isZero else {
            throw malformed(schema, "'multipleOf' must be a number above 0")
        }
        guard number.fraction.isEmpty else { throw unsupported(schema, "multipleOf", "of a fraction is not supported") }
        let divisor = number.integer.reduce(0) { min($0 * 10 + Int($1), 1 << 20) }
        let (a, b) = (constraints.divisor, divisor)
        var (x, y) = (a, b)
        while y != 0 { (x, y) = (y, x % y) }
        constraints.divisor = a / x * b
        guard constraints.divisor <= Self.largestDivisor else {
            throw unsupported(schema, "multipleOf", "of more than \(Self.largestDivisor) is not supported")
        }
        constraints.integersOnly = true
    }
}
