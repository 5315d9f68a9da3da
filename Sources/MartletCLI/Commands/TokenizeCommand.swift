import ArgumentParser
import Martlet
import MartletCheckpoints
import MartletTokenizers

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Print the token ids of a text as a JSON array.")

    @OptionGroup var source: RequiredModelArgument
    @Argument(help: "The text. Default: standard input, every byte of it.")
    var text: String?
    @Flag(help: "Let the text spell special tokens, such as <|im_start|>.")
    var special = false
    @Flag(help: "Add the special tokens that the model wants around a text, usually its first.")
    var bos = false
    @Flag(help: "Print JSON, as without this flag.")
    var json = false

    func run() throws {
        let tokenizer = try Tokenizer(Checkpoint(path: source.path()))
        let bytes = try text.map { Array($0.utf8) } ?? StandardStream.input.readAll()
        let tokens = tokenizer.encode(bytes: bytes, addSpecialTokens: bos, parseSpecial: special)
        try StandardStream.output.write("[" + tokens.map(String.init).joined(separator: ",") + "]\n")
    }
}
