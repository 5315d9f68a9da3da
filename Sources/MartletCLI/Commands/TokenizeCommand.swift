import ArgumentParser
import Foundation
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
    @Flag(help: "Print the speed on stderr.")
    var verbose = false

    func run() throws {
        let tokenizer = try Tokenizer(path: source.path())
        let bytes = try text.map { Array($0.utf8) } ?? StandardStream.input.readAll()
        let start = ContinuousClock.now
        let tokens = tokenizer.encode(bytes: bytes, addSpecialTokens: bos, parseSpecial: special)
        let seconds = (ContinuousClock.now - start).seconds
        if verbose {
            let speed = String(format: "%.1f ms, %.1f MB/s", seconds * 1e3, Double(bytes.count) / seconds / 1e6)
            Terminal.warn("\(bytes.count) bytes, \(tokens.count) tokens: \(speed)")
        }
        try StandardStream.output.write("[" + tokens.map(String.init).joined(separator: ",") + "]\n")
    }
}
