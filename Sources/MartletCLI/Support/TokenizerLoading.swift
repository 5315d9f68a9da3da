import Martlet
import MartletCheckpoints
import MartletTokenizers

extension Tokenizer {
    /// The tokenizer of a model, or that of a `tokenizer.json` alone.
    init(path: String) throws {
        guard path.hasSuffix(".json") else {
            try self.init(Checkpoint(path: path))
            return
        }
        do {
            try self.init(tokenizerJSON: InputFile.read(path))
        } catch let error as TokenizerError {
            throw CommandFailure("\(path): \(error.description)")
        }
    }
}
