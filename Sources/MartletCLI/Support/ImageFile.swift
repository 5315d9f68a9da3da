import Foundation
import MartletImages

/// Image files that are named on the command line.
enum ImageFile {
    /// A file's bytes, not more than one may have.
    ///
    /// - Throws: `CommandFailure` for files that can't be read or are too large to be images.
    static func read(_ path: String) throws -> Data {
        Data(try InputFile.readFile(path, limit: ImageLimits.default.bytes))
    }
}
