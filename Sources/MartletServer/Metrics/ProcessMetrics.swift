import Foundation

/// What the operating system knows of the process, under the names that Prometheus' own clients use.
enum ProcessMetrics {
    /// In Prometheus' text format; empty where there is no `/proc`.
    static func text() -> String {
        guard let stat = read("/proc/self/stat"), let end = stat.lastIndex(of: ")") else { return "" }
        // proc_pid_stat(5), from the third field on: the second one may hold anything.
        let fields = stat[stat.index(after: end)...].split(separator: " ").map { Double($0) ?? 0 }
        guard fields.count > 21 else { return "" }
        let ticks = Double(max(sysconf(Int32(_SC_CLK_TCK)), 1))
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        let pageSize = Double(sysconf(Int32(_SC_PAGESIZE)))
        var lines: [(name: String, type: String, help: String, value: Double)] = [
            ("cpu_seconds_total", "counter", "Processor time, user and system.", (fields[11] + fields[12]) / ticks),
            ("resident_memory_bytes", "gauge", "Memory that is resident.", fields[21] * pageSize),
            ("virtual_memory_bytes", "gauge", "Memory that is mapped.", fields[20]),
            ("open_fds", "gauge", "Open file descriptors.", Double(files)),
            ("max_fds", "gauge", "File descriptors that may be open.", Double(limit.rlim_cur)),
        ]
        if let boot = bootTime() {
            lines.append(
                ("start_time_seconds", "gauge", "When the process began, in Unix time.", boot + fields[19] / ticks))
        }
        return lines.map {
            "# HELP process_\($0.name) \($0.help)\n# TYPE process_\($0.name) \($0.type)\nprocess_\($0.name) \($0.value)\n"
        }.joined()
    }

    private static func bootTime() -> Double? {
        read("/proc/stat")?.split(separator: "\n").first { $0.hasPrefix("btime ") }
            .flatMap { Double($0.dropFirst(6)) }
    }

    private static func read(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}
