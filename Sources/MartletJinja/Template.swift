/// A parsed chat template, with the language and the settings that Hugging Face transformers renders with: Jinja2 in an
/// immutable sandbox, trim_blocks, lstrip_blocks, loop controls, `raise_exception`, `strftime_now` and its own
/// `tojson`.
///
///     let template = try Template("{{ messages[0].role }}")
///     try template.render(["messages": try Value(json: #"[{"role": "user"}]"#)])
package struct Template: Sendable {
    private let body: [Statement]
    private let names: [String]
    private let limits: Limits

    /// Parses the template, once for any number of renders.
    package init(_ source: String, limits: Limits = Limits()) throws(JinjaError) {
        var parser = try Parser(source, limits: limits)
        body = try parser.parseTemplate()
        names = parser.names
        self.limits = limits
    }

    /// The text that the template makes of the variables.
    ///
    /// - Parameter clock: the time for `strftime_now`.
    package func render(_ context: [String: Value], clock: Clock = .local) throws(JinjaError) -> String {
        let interpreter = Interpreter(limits: limits, clock: clock)
        return try interpreter.render(body, names: names, context: context)
    }
}
