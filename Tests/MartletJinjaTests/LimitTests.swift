import Foundation
import MartletJinja
import Testing

/// Templates that try to take for ever, or all memory, or the stack: each ends in an error of its kind.
@Suite(.timeLimit(.minutes(5))) struct LimitTests {
    struct Attack: CustomTestStringConvertible, Sendable {
        let name: String
        let source: String
        var kind = JinjaError.Kind.limitExceeded

        var testDescription: String { name }
    }

    /// A namespace whose `x` is doubled `count` times.
    static func doubling(_ start: String, _ step: String, times count: Int, then use: String) -> String {
        "{% set ns = namespace(x=\(start)) %}{% for i in range(\(count)) %}{% set ns.x = \(step) %}{% endfor %}\(use)"
    }

    static let attacks: [Attack] = [
        Attack(name: "macro recursion", source: "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        Attack(
            name: "branching macro recursion",
            source: "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(30) }}"),
        Attack(
            name: "recursive loop over itself",
            source:
                "{% set ns = namespace() %}{% set ns.x = [1] %}{% for i in ns.x recursive %}{{ loop(ns.x) }}{% endfor %}"
        ),
        Attack(name: "range", source: "{{ range(10**9) }}"),
        Attack(name: "range of all integers", source: "{{ range(-9223372036854775807, 9223372036854775807) }}"),
        Attack(
            name: "nested loops",
            source:
                "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}"
        ),
        Attack(name: "string doubling", source: doubling("'x'", "ns.x + ns.x", times: 64, then: "{{ ns.x|length }}")),
        Attack(name: "string doubling with ~", source: doubling("'x'", "ns.x ~ ns.x", times: 64, then: "")),
        Attack(name: "list doubling", source: doubling("[1]", "ns.x + ns.x", times: 64, then: "{{ ns.x|length }}")),
        Attack(name: "string repetition", source: "{{ 'x' * 10**9 }}"),
        Attack(name: "string repetition, overflowing", source: "{{ 'xx' * 9223372036854775807 }}"),
        Attack(name: "list repetition", source: "{{ [0] * 10**9 }}"),
        Attack(name: "replace", source: "{{ ('x' * 10**6)|replace('x', 'y' * 10**6) }}"),
        Attack(name: "join", source: "{{ ([1] * 10**5)|join('y' * 10**6) }}"),
        Attack(name: "indent", source: "{{ ('x\n' * 10**5)|indent(10**6) }}"),
        Attack(name: "center", source: "{{ 'x'|center(10**12) }}"),
        Attack(name: "many long strings", source: "{% for i in range(100000) %}{% set x = 'x' * 10**7 %}{% endfor %}"),
        Attack(name: "long output", source: "{% set x = 'x' * 10**7 %}{% for i in range(1000) %}{{ x }}{% endfor %}"),
        Attack(name: "deep list", source: doubling("[]", "[ns.x]", times: 100_000, then: "")),
        Attack(name: "deep dictionary", source: doubling("{}", "{'k': ns.x}", times: 100_000, then: "")),
        Attack(
            name: "comparing shared lists",
            source: doubling("[]", "[ns.x, ns.x]", times: 100, then: "{% set a = ns.x + [] %}{{ a == ns.x }}")),
        Attack(name: "printing shared lists", source: doubling("[]", "[ns.x, ns.x]", times: 100, then: "{{ ns.x }}")),
        Attack(
            name: "JSON of shared lists", source: doubling("[]", "[ns.x, ns.x]", times: 100, then: "{{ ns.x|tojson }}")),
        Attack(
            name: "hashing shared tuples", source: doubling("()", "(ns.x, ns.x)", times: 100, then: "{{ {ns.x: 1} }}")),
        Attack(name: "namespace that holds itself", source: "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}"),
        Attack(
            name: "chain of namespaces",
            source:
                "{% set ns = namespace() %}{% for i in range(50000) %}{% set ns.x = namespace(p=ns.x) %}{% endfor %}{{ ns }}"
        ),
        Attack(name: "deep brackets", source: "{{ " + String(repeating: "(", count: 100_000)),
        Attack(name: "deep lists", source: "{{ " + String(repeating: "[", count: 100_000)),
        Attack(name: "many signs", source: "{{ " + String(repeating: "-", count: 100_000) + "1 }}"),
        Attack(name: "many nots", source: "{{ " + String(repeating: "not ", count: 100_000) + "1 }}"),
        Attack(name: "many elses", source: "{{ " + String(repeating: "1 if 0 else ", count: 50_000) + "1 }}"),
        Attack(name: "deep blocks", source: String(repeating: "{% if 1 %}", count: 10_000)),
        Attack(name: "deep targets", source: "{% for " + String(repeating: "(", count: 100_000)),
        Attack(
            name: "filters that call filters",
            source: "{{ 'x'|map('map'" + String(repeating: ", 'map'", count: 10_000) + ", 'upper')|list }}"),
        Attack(name: "float to integer", source: "{{ 1e300|int }}", kind: .invalidOperation),
        Attack(name: "format code", source: "{{ '{:@}'.format(1.5) }}", kind: .invalidOperation),
        Attack(name: "format width", source: "{{ '%99999999999d' % 5 }}", kind: .invalidOperation),
        Attack(name: "power", source: "{{ 9 ** 9 ** 9 }}", kind: .invalidOperation),
        Attack(name: "smallest integer", source: "{{ (-9223372036854775807 - 1) // -1 }}", kind: .invalidOperation),
        Attack(name: "smallest integer, abs", source: "{{ (-9223372036854775807 - 1)|abs }}", kind: .invalidOperation),
        Attack(name: "long literal", source: "{{ " + String(repeating: "9", count: 5_000) + " }}", kind: .syntax),
        Attack(name: "long literal in hexadecimal", source: "{{ 0xFFFFFFFFFFFFFFFFF }}", kind: .syntax),
        Attack(name: "strftime width", source: "{{ strftime_now('%999999d') }}", kind: .invalidOperation),
        Attack(name: "source", source: String(repeating: "x", count: 2 << 20)),
    ]

    @Test(arguments: attacks) func endsInAnError(_ attack: Attack) throws {
        var limits = Limits()
        #if DEBUG
            // An unoptimized build takes a minute for what takes seconds otherwise.
            limits.maxSteps /= 10
        #endif
        let error = #expect(throws: JinjaError.self) {
            try Template(attack.source, limits: limits).render([:], clock: .fixed(unixTime: 0))
        }
        #expect(error?.kind == attack.kind, "\(error?.description ?? "")")
    }

    /// Work that must not be refused: 100,000 bytes in one message, and 2,000 messages.
    @Test func longConversationsRender() throws {
        let source = """
            {% for m in messages %}{% if m.role == 'assistant' and '</think>' in m.content %}\
            {% set content = m.content.split('</think>')[-1].lstrip('\\n') %}{% else %}{% set content = m.content|trim %}{% endif %}\
            {{ '<|im_start|>' + m.role + '\\n' + content + '<|im_end|>\\n' }}{% endfor %}
            """
        let text = String(repeating: "wörter ", count: 12_500)
        let long = Value.dictionary([("role", .string("user")), ("content", .string(text))])
        let short = Value.dictionary([("role", .string("assistant")), ("content", .string("<think>x</think>\n\nyes"))])
        let template = try Template(source)
        let rendered = try template.render(["messages": .list([long] + Array(repeating: short, count: 2_000))])
        #expect(rendered.hasPrefix("<|im_start|>user\nwörter wörter"))
        #expect(rendered.hasSuffix("<|im_start|>assistant\nyes<|im_end|>\n"))
        #expect(rendered.utf8.count == 28 + text.utf8.count - 1 + 2_000 * 36)
    }

    /// Templates that look for the answers to a call in the whole conversation take steps by the square of its length.
    @Test func longToolConversationsRender() throws {
        let source = """
            {% for m in messages %}{% for call in m.tool_calls %}{% for answer in messages %}\
            {% if answer.role == 'tool' and answer.tool_call_id == call.id %}{{ call.function.name }}: {{ answer.content }}
            {% endif %}{% endfor %}{% endfor %}{% endfor %}
            """
        let messages = (0..<1_000).flatMap { index -> [Value] in
            let function = Value.dictionary([
                ("name", .string("f")), ("arguments", .dictionary([("city", .string("a"))])),
            ])
            let call = Value.dictionary([
                ("id", .string("call\(index)")), ("type", .string("function")), ("function", function),
            ])
            return [
                .dictionary([("role", .string("assistant")), ("tool_calls", .list([call]))]),
                .dictionary([
                    ("role", .string("tool")), ("tool_call_id", .string("call\(index)")),
                    ("content", .string("\(index)")),
                ]),
            ]
        }
        let rendered = try Template(source).render(["messages": .list(messages)])
        #expect(rendered == (0..<1_000).map { "f: \($0)\n" }.joined())
    }

    /// A loop object that outlives its loop can hold the one before it, and so on: freeing one may not free all of them
    /// recursively.
    @Test(arguments: [
        "{% for j in [0] %}{% if loop.changed(ns.p) %}{% endif %}{% set ns.p = loop %}{% endfor %}",
        "{% for j in [0] %}{% set ns.l = loop %}{% endfor %}{% if ns.l.changed(ns.p) %}{% endif %}{% set ns.p = ns.l %}",
    ]) func chainsOfLoopsAreFreed(body: String) throws {
        let source = "{% set ns = namespace(p=0) %}{% for i in range(50000) %}\(body){% endfor %}ok"
        #expect(try Template(source).render([:]) == "ok")
    }

    /// What would take time by the square of a number although it counts few steps.
    @Test func lookUpsAreQuick() throws {
        let ranges = (0..<20_000).map { "range(\($0), \($0 + 1))" }.joined(separator: ",")
        let variables = (0..<20_000).map { "{% set v\($0) = 1 %}" }.joined()
        for (source, expected) in [
            ("{{ ([('nan'|float)] * 300000)|unique|list|length }}", "1"),
            ("{{ [\(ranges)]|unique|list|length }}", "20000"),
            ("{% for i in range(20) %}\(variables){% endfor %}", ""),
        ] {
            let template = try Template(source)
            var rendered = ""
            let time = try ContinuousClock().measure { rendered = try template.render([:]) }
            #expect(rendered == expected)
            #expect(time < .seconds(5), "\(source.prefix(60))")
        }
    }

    @Test func fieldsPayForTheNamesTheyAreLookedUpIn() throws {
        var limits = Limits()
        limits.stepsPerWeight = 0
        let names = Value.dictionary((0..<20_000).map { ("k\($0)", .int($0)) })
        let template = try Template("{{ ('{k19999}' * 100000).format(**d)|length }}", limits: limits)
        let error = #expect(throws: JinjaError.self) { try template.render(["d": names]) }
        #expect(error?.kind == .limitExceeded)
    }

    /// Case and classes of ASCII text need no table of Unicode: a long document costs few steps.
    @Test(arguments: [
        "s.lower() == s", "s|upper|lower == s", "(s|title)[:3] == 'Aa '", "s.swapcase().swapcase() == s", "s is lower",
        "('1' * 3100000).isdigit()", "('a' * 3100000).isalnum()", "s.isprintable()",
    ]) func longASCIITextsRender(test: String) throws {
        var limits = Limits()
        limits.stepsPerWeight = 0
        let text = Value.string(String(repeating: "aa ", count: 1_100_000))
        #expect(try Template("{{ \(test) }}", limits: limits).render(["s": text]) == "True")
    }

    /// Long but flat expressions are no deeper than short ones.
    @Test func longChainsRender() throws {
        #expect(try Template("{{ 1" + String(repeating: " + 1", count: 5_000) + " }}").render([:]) == "5001")
        #expect(try Template("{{ 'x'" + String(repeating: "|trim", count: 5_000) + " }}").render([:]) == "x")
        #expect(try Template("{{ 'x'" + String(repeating: " ~ 'x'", count: 500) + " }}").render([:]).utf8.count == 501)
        let branches = String(repeating: "{% elif 0 %}a", count: 5_000)
        #expect(try Template("{% if 0 %}a\(branches)\n{% else %}b{% endif %}").render([:]) == "b")
    }

    /// The bounds hold on the stack of a secondary thread. Frames of an unoptimized build are several times larger.
    @Test func deepestTemplatesFitASmallStack() async throws {
        let limits = Limits()
        let nesting = limits.maxParserDepth - 2
        let brackets = "{{ " + String(repeating: "[", count: nesting) + String(repeating: "]", count: nesting) + " }}"
        let recursion =
            "{% macro m() %}{% for i in [1] %}{% if i %}{{ [m()] }}{% endif %}{% endfor %}{% endmacro %}{{ m() }}"
        let deepValue = Self.doubling("[]", "[ns.x]", times: 127, then: "{{ ns.x|tojson|length }}{{ ns.x == ns.x }}")
        let loop = "{% for i in [1] recursive %}{{ [loop([1])] }}{% endfor %}"
        let results = await withCheckedContinuation { continuation in
            let thread = Thread {
                continuation.resume(
                    returning: [brackets, recursion, deepValue, loop].map { source in try? Template(source).render([:])
                    })
            }
            #if DEBUG
                thread.stackSize = 8 << 20
            #else
                thread.stackSize = 2 << 20
            #endif
            thread.start()
        }
        #expect(results[0]?.utf8.count == 2 * nesting)
        #expect(results[1] == nil)
        #expect(results[2] == "256True")
        #expect(results[3] == nil)
    }

    /// Numbers at the border of 64 bits where they are positions.
    @Test func extremePositions() throws {
        let context: [String: Value] = [
            "min": .int(.min), "max": .int(.max), "s": .string("aé"), "l": .list([.int(1), .int(2)]),
        ]
        func render(_ source: String) throws -> String { try Template(source).render(context) }
        #expect(
            try render("{{ s[min:max] }}{{ s[max:min] }}{{ s[::max] }}{{ s[::min] }}{{ s[min] }}{{ s[max] }}") == "aéaé"
        )
        #expect(
            try render("{{ l[min:max] }}{{ l[max:min:min] }}{{ l[::max] }}{{ l[min] }}{{ l[max] }}") == "[1, 2][2][1]")
        #expect(try render("{{ range(min, max, 10**15)|last }}") == "9222627963145224192")
        #expect(try render("{{ range(min, max, 10**15)[::-1]|first }}") == "9222627963145224192")
        #expect(
            try render("{{ s.zfill(min) }}{{ s.find('a', min, max) }}{{ s|center(min) }}{{ s.split('a', min) }}")
                == "aé0aé['', 'é']")
        #expect(
            try render("{{ l|batch(max)|list }}{{ 5|round(-400) }}{{ 5.5|round(-400) }}{{ min % -1 }}")
                == "[[1, 2]]00.00")
    }

    @Test func limitsAreAdjustable() throws {
        var limits = Limits()
        limits.maxSteps = 10
        #expect(throws: JinjaError.self) {
            try Template("{% for i in range(20) %}{% endfor %}", limits: limits).render([:])
        }
        // Input gives more of them, up to a bound.
        let elements = ["x": Value.list(Array(repeating: .null, count: 20))]
        let loop = "{% for i in x %}{% endfor %}"
        #expect(try Template(loop, limits: limits).render(elements) == "")
        limits.maxStepsWithInput = 10
        #expect(throws: JinjaError.self) { try Template(loop, limits: limits).render(elements) }
        limits = Limits()
        limits.maxOutputBytes = 3
        #expect(try Template("abc", limits: limits).render([:]) == "abc")
        #expect(throws: JinjaError.self) { try Template("abcd", limits: limits).render([:]) }
    }
}
