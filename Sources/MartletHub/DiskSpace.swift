internal import Foundation

/// Room on a disk.
enum DiskSpace {
    /// - Throws: `HubError.storage` if fewer than `bytes` are free for this user where `folder` is or will be.
    static func check(_ bytes: Int, at folder: URL) throws(HubError) {
        var status = statvfs()
        guard statvfs(folder.path, &status) == 0 else { throw .storage("cannot examine \(folder.path)") }
        let (free, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        guard overflow || free >= UInt64(bytes) else {
            throw HubError(
                .storage,
                "not enough room in \(folder.relativePath): \(gibibytes(UInt64(bytes))) needed, \(gibibytes(free)) free"
            )
        }
    }

    private static func gibibytes(_ bytes: UInt64) -> String {
        let gibibytes = Double(bytes) / Double(1 << 30)
        return gibibytes < 10 ? String(format: "%.2f GiB", gibibytes) : String(format: "%.0f GiB", gibibytes)
    }
}
