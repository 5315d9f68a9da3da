import MartletTokenizers

/// The rules of JSON itself, each made when it is first asked for.
struct JSONRules {
    private var known: [Name: Int] = [:]

    enum Name: Hashable {
        case value, object, array, string, number, integer, space
    }

    /// Goes through a rule.
    mutating func call(
        _ name: Name, _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        if let rule = known[name] { return try builder.call(rule, next) }
        let rule = builder.declareRule()
        known[name] = rule
        try builder.define(rule, body(name, &builder))
        return try builder.call(rule, next)
    }

    /// White space where a model likes to have it. It has an end: models fall into writing nothing else.
    mutating func space(
        _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        try call(.space, &builder, next)
    }

    private static let widestIndentation = 32

    private mutating func body(
        _ name: Name, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        let end = builder.end
        switch name {
        case .value:
            var targets: [AutomatonBuilder.NodeID] = []
            for part in [Name.object, .array, .string, .number] { targets.append(try call(part, &builder, end)) }
            targets.append(try builder.words(["true", "false", "null"].map { Array($0.utf8) }, end))
            return try builder.choice(targets)
        case .object:
            // `after` is where a member has ended.
            let after = try builder.placeholder()
            let value = try call(.value, &builder, after)
            let member = try call(.string, &builder, builder.literal(":", space(&builder, value)))
            let close = try builder.literal("}", end)
            builder.fill(
                after, [try space(&builder, close), try builder.literal(",", space(&builder, member))])
            return try builder.literal("{", space(&builder, builder.choice([member, close])))
        case .array:
            let after = try builder.placeholder()
            let element = try call(.value, &builder, after)
            let close = try builder.literal("]", end)
            builder.fill(
                after, [try space(&builder, close), try builder.literal(",", space(&builder, element))])
            return try builder.literal("[", space(&builder, builder.choice([element, close])))
        case .string:
            let rest = try builder.placeholder()
            builder.fill(
                rest, [try Self.character(&builder, rest), try builder.literal("\"", end)])
            return try builder.literal("\"", rest)
        case .integer: return try integer(&builder, end)
        case .number:
            let digit = ByteSet(0x30...0x39)
            var signs = ByteSet()
            signs.insert(UInt8(ascii: "+"))
            signs.insert(UInt8(ascii: "-"))
            var exponents = ByteSet()
            exponents.insert(UInt8(ascii: "e"))
            exponents.insert(UInt8(ascii: "E"))
            // Two digits stay far inside of what a Double can hold.
            let power = try builder.bytes(digit, builder.choice([try builder.bytes(digit, end), end]))
            let exponent = try builder.bytes(exponents, builder.choice([try builder.bytes(signs, power), power]))
            let behind = try builder.choice([exponent, end])
            let fraction = try builder.literal(
                ".",
                builder.repeated(atLeast: 1, atMost: NumberRange.digits, behind) {
                    (builder, next) throws(GrammarError) in
                    try builder.bytes(digit, next)
                })
            return try integer(&builder, builder.choice([fraction, behind]))
        case .space:
            let indentation = try builder.repeated(atLeast: 0, atMost: Self.widestIndentation, end) {
                (builder, next) throws(GrammarError) in
                var blanks = ByteSet(0x20...0x20)
                blanks.insert(0x09)
                return try builder.bytes(blanks, next)
            }
            return try builder.choice([
                end, try builder.literal(" ", end), try builder.literal("\n", indentation),
            ])
        }
    }

    private func integer(
        _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        let more = try builder.repeated(atLeast: 0, atMost: NumberRange.digits - 1, next) {
            (builder, next) throws(GrammarError) in try builder.bytes(ByteSet(0x30...0x39), next)
        }
        let digits = try builder.choice([
            try builder.literal("0", next), try builder.bytes(ByteSet(0x31...0x39), more),
        ])
        return try builder.choice([digits, try builder.literal("-", digits)])
    }

    private static let plainScalars = ScalarSet([0x20...0x21, 0x23...0x5B, 0x5D...0x10FFFF])

    /// A character of a string in any of its spellings.
    static func character(
        _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        func set(_ characters: String) -> ByteSet {
            characters.utf8.reduce(into: ByteSet()) { $0.insert($1) }
        }
        let hexadecimal = set("0123456789abcdefABCDEF")
        let one = try builder.bytes(hexadecimal, next)
        let two = try builder.bytes(hexadecimal, one)
        let three = try builder.bytes(hexadecimal, two)
        // Halves of surrogate pairs come in pairs.
        let low = try builder.literal("\\u", builder.bytes(set("dD"), builder.bytes(set("cdefCDEF"), two)))
        let high = try builder.bytes(
            set("89abAB"), builder.bytes(hexadecimal, builder.bytes(hexadecimal, low)))
        let unit = try builder.choice([
            try builder.bytes(set("0123456789abcefABCEF"), three),
            try builder.bytes(set("dD"), builder.choice([try builder.bytes(set("01234567"), two), high])),
        ])
        let escape = try builder.choice([
            try builder.bytes(set("\"\\/bfnrt"), next), try builder.literal("u", unit),
        ])
        return try builder.choice([
            try builder.scalars(plainScalars, .plain, next), try builder.literal("\\", escape),
        ])
    }
}
