// Python's string algorithms, on Unicode scalars, or on UTF-8 where the result is the same: UTF-8 sequences never match
// in the middle of one another.

extension String {
    init(bytes: ArraySlice<UInt8>) { self.init(decoding: bytes, as: UTF8.self) }

    /// The text `count` times over. `String(repeating:count:)` goes through characters, fifty times slower.
    func repeated(_ count: Int) -> String {
        guard count > 0, !isEmpty else { return "" }
        let unit = Array(utf8)
        if unit.count == 1 { return String(decoding: repeatElement(unit[0], count: count), as: UTF8.self) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(unit.count * count)
        for _ in 0..<count { bytes += unit }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Positions

    /// The scalar at an index from either end.
    func scalar(at index: Int) -> Unicode.Scalar? {
        let scalars = unicodeScalars
        if index >= 0 {
            guard let position = scalars.index(scalars.startIndex, offsetBy: index, limitedBy: scalars.endIndex),
                position < scalars.endIndex
            else { return nil }
            return scalars[position]
        }
        return scalars.index(scalars.endIndex, offsetBy: index, limitedBy: scalars.startIndex).map { scalars[$0] }
    }

    /// A slice with step 1; negative bounds are walked from the end, so that `text[-3:]` does not depend on the length.
    func scalarSlice(_ slice: Slice) -> String {
        let scalars = unicodeScalars
        func index(_ bound: Int?, default fallback: Index) -> Index {
            guard let bound else { return fallback }
            if bound >= 0 {
                return scalars.index(scalars.startIndex, offsetBy: bound, limitedBy: scalars.endIndex)
                    ?? scalars.endIndex
            }
            return scalars.index(scalars.endIndex, offsetBy: bound, limitedBy: scalars.startIndex) ?? scalars.startIndex
        }
        let start = index(slice.start, default: scalars.startIndex)
        let end = index(slice.stop, default: scalars.endIndex)
        return start < end ? String(scalars[start..<end]) : ""
    }

    // MARK: Search

    func firstOffset(of part: String) -> Int? {
        ByteSearch(Array(part.utf8)).offsets(in: Array(utf8), limit: 1).first
    }

    // MARK: Trimming

    /// Python's `strip`: removes scalars of `characters`, or spaces, from the chosen ends.
    package func stripped(_ characters: String?, left: Bool = true, right: Bool = true) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func isStripped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        let scalars = unicodeScalars
        var start = scalars.startIndex
        var end = scalars.endIndex
        if left { while start < end, isStripped(scalars[start]) { start = scalars.index(after: start) } }
        if right {
            while start < end {
                let last = scalars.index(before: end)
                guard isStripped(scalars[last]) else { break }
                end = last
            }
        }
        return String(scalars[start..<end])
    }

    // MARK: Splitting

    /// Python's `split(separator, maxsplit)`; the separator is not empty.
    func split(by separator: String, limit: Int?, fromEnd: Bool = false) -> [String] {
        var bytes = Array(utf8)
        var pattern = Array(separator.utf8)
        if fromEnd {
            bytes.reverse()
            pattern.reverse()
        }
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        for offset in ByteSearch(pattern).offsets(in: bytes, limit: limit) {
            pieces.append(bytes[start..<offset])
            start = offset + pattern.count
        }
        pieces.append(bytes[start...])
        guard fromEnd else { return pieces.map { String(bytes: $0) } }
        return pieces.reversed().map { String(decoding: $0.reversed(), as: UTF8.self) }
    }

    /// Python's `split()`: at runs of spaces, none at the ends.
    func splitAtSpaces(limit: Int?, fromEnd: Bool = false) -> [String] {
        let scalars = unicodeScalars
        var pieces: [String] = []
        if fromEnd {
            var end = scalars.endIndex
            func skipSpace() {
                while end > scalars.startIndex, scalars[scalars.index(before: end)].isPythonSpace {
                    scalars.formIndex(before: &end)
                }
            }
            skipSpace()
            while end > scalars.startIndex {
                if let limit, pieces.count == limit {
                    pieces.append(String(scalars[..<end]))
                    break
                }
                let pieceEnd = end
                while end > scalars.startIndex, !scalars[scalars.index(before: end)].isPythonSpace {
                    scalars.formIndex(before: &end)
                }
                pieces.append(String(scalars[end..<pieceEnd]))
                skipSpace()
            }
            return pieces.reversed()
        }
        var start = scalars.startIndex
        func skipSpace() {
            while start < scalars.endIndex, scalars[start].isPythonSpace { scalars.formIndex(after: &start) }
        }
        skipSpace()
        while start < scalars.endIndex {
            if let limit, pieces.count == limit {
                pieces.append(String(scalars[start...]))
                break
            }
            let pieceStart = start
            while start < scalars.endIndex, !scalars[start].isPythonSpace { scalars.formIndex(after: &start) }
            pieces.append(String(scalars[pieceStart..<start]))
            skipSpace()
        }
        return pieces
    }

    /// Python's `splitlines`, which knows more line ends than "\n".
    func splitLines(keepingEnds: Bool = false) -> [String] {
        let scalars = unicodeScalars
        var lines: [String] = []
        var start = scalars.startIndex
        var index = start
        while index < scalars.endIndex {
            let scalar = scalars[index]
            var next = scalars.index(after: index)
            if scalar.isLineBoundary {
                if scalar == "\r", next < scalars.endIndex, scalars[next] == "\n" { next = scalars.index(after: next) }
                lines.append(String(scalars[start..<(keepingEnds ? next : index)]))
                start = next
            }
            index = next
        }
        if start < scalars.endIndex { lines.append(String(scalars[start...])) }
        return lines
    }

    // MARK: Replacing

    func replacing(_ old: String, with new: String, limit: Int?) -> String {
        if old.isEmpty {
            // An empty pattern matches before every scalar and at the end.
            var result = ""
            var count = 0
            for scalar in unicodeScalars {
                if limit.map({ count < $0 }) ?? true {
                    result += new
                    count += 1
                }
                result.unicodeScalars.append(scalar)
            }
            return limit.map { count < $0 } ?? true ? result + new : result
        }
        let bytes = Array(utf8)
        let offsets = ByteSearch(Array(old.utf8)).offsets(in: bytes, limit: limit)
        guard !offsets.isEmpty else { return self }
        let replacement = Array(new.utf8)
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + offsets.count * max(0, replacement.count - old.utf8.count))
        var start = 0
        for offset in offsets {
            result += bytes[start..<offset]
            result += replacement
            start = offset + old.utf8.count
        }
        result += bytes[start...]
        return String(decoding: result, as: UTF8.self)
    }
}

extension Unicode.Scalar {
    /// What `str.splitlines` splits at.
    var isLineBoundary: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }
}

/// Finds a byte string in linear time whatever the texts (Knuth, Morris and Pratt 1977): with the obvious search, one
/// `in` on two long texts of equal letters would take minutes.
struct ByteSearch {
    private let pattern: [UInt8]
    /// For every prefix of the pattern, the length of its longest proper border.
    private let borders: [Int]

    init(_ pattern: [UInt8]) {
        self.pattern = pattern
        var borders = [Int](repeating: 0, count: pattern.count)
        var length = 0
        for index in pattern.indices.dropFirst() {
            while length > 0, pattern[index] != pattern[length] { length = borders[length - 1] }
            if pattern[index] == pattern[length] { length += 1 }
            borders[index] = length
        }
        self.borders = borders
    }

    /// Where the pattern occurs, without overlaps, from the left; an empty pattern occurs at the start.
    func offsets(in text: [UInt8], limit: Int?) -> [Int] {
        if limit == 0 { return [] }
        guard !pattern.isEmpty else { return [0] }
        var offsets: [Int] = []
        var matched = 0
        for index in text.indices {
            while matched > 0, text[index] != pattern[matched] { matched = borders[matched - 1] }
            if text[index] == pattern[matched] { matched += 1 }
            if matched == pattern.count {
                offsets.append(index + 1 - matched)
                if offsets.count == limit { return offsets }
                matched = 0
            }
        }
        return offsets
    }
}
