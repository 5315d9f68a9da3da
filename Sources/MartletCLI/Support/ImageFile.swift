import Foundation
import MartletImages

/// Image files that are named on the command line.
enum ImageFile {
    /// A file's bytes, not more than one may have.
    ///
    /// - Throws: `CommandFailure` for files that can't be read or are too large to be images.
    static func read(_ path: String) throws -> Data {
        do {
            let handle = try FileHandle(forReadingFrom: URL(filePath: path))
            defer { try? handle.close() }
            let file = try handle.read(upToCount: sizeLimit + 1) ?? Data()
            guard file.count <= sizeLimit else {
                throw CommandFailure("\(path) has more than \(sizeLimit >> 20) MB, too many for an image")
            }
            return file
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure("can't read the image \(path): \(error.localizedDescription)")
        }
    }

    private static let sizeLimit = ImageLimits.default.bytes
}
