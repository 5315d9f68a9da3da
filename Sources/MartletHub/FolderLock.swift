internal import Foundation

/// Only one at a time changes what a model's folder holds, and what its record says about it.
enum FolderLock {
    static let fileName = ".martlet.lock"

    /// Runs `body` when no other process, and nobody else in this one, is in the folder. The folder is made if it isn't there.
    ///
    /// - Throws: `HubError.storage` if the folder can't be locked, and what `body` throws.
    static func withLock<T>(_ folder: URL, _ body: () throws(HubError) -> T) throws(HubError) -> T {
        let path = folder.appending(path: fileName).path
        let descriptor = try lock(path, in: folder)
        defer {
            // While it is still locked: who waits for it sees then that it is gone, and makes another.
            unlink(path)
            close(descriptor)
        }
        return try body()
    }

    private static func lock(_ path: String, in folder: URL) throws(HubError) -> Int32 {
        while true {
            try ModelPull.makeFolder(folder)
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
            if descriptor < 0 {
                // Somebody has just removed the model, and its folder.
                if errno == ENOENT { continue }
                throw .storage("cannot create \(path)")
            }
            while flock(descriptor, LOCK_EX) != 0 {
                guard errno == EINTR else {
                    close(descriptor)
                    throw .storage("cannot lock \(path)")
                }
            }
            var (opened, named) = (stat(), stat())
            if fstat(descriptor, &opened) == 0, lstat(path, &named) == 0, opened.st_ino == named.st_ino,
                opened.st_dev == named.st_dev
            {
                return descriptor
            }
            close(descriptor)
        }
    }
}
