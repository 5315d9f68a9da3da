import ArgumentParser
import Martlet
import MartletCheckpoints
import MartletTokenizers

struct DetokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detokenize", abstract: "Print the text of token ids, exactly: no newline is added.")

    @OptionGroup var source: RequiredModelArgument
    @Argument(help: "Token ids: a JSON array, or numbers with commas between them. Default: standard input.")
    var ids: String?
    @Flag(help: "Keep special tokens in the text.")
    var keepSpecial = false
    @Flag(help: "Print the text as a JSON string.")
    var json = false

    func run() throws {
        let tokenizer = try Tokenizer(path: source.path())
        let list = try ids ?? String(decoding: StandardStream.input.readAll(), as: UTF8.self)
        let tokens = try TokenList.parse(list)
        try TokenList.check(tokens, vocabularySize: tokenizer.vocabularySize)
        let text = tokenizer.decode(tokens, skipSpecialTokens: !keepSpecial)
        if json { try JSONOutput.print(text) } else { try StandardStream.output.write(text) }
    }
}
