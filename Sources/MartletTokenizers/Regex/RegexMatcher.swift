/// Finds the matches of a `RegexProgram` in UTF-8 text by backtracking with memory, in time linear in the text.
///
/// Without captures, whether the rest of the pattern matches from an instruction at a position depends on nothing else. So
/// every choice point that was exhausted is remembered as failed and never explored again, in any later attempt: each
/// (choice point, position) is worked on once. Inside a lookahead, which may succeed again and again over the same text
/// without consuming it, choice points that led to success are remembered too. Memory is taken only when something has to
/// be remembered, which ordinary words never need.
struct RegexMatcher: ~Copyable {
    private enum Choice {
        /// Try `instruction` at `position`.
        case alternative(instruction: Int, position: Int)
        /// All alternatives above this one failed: remember that.
        case exhausted(memo: Int, position: Int)
        /// A greedy run that started at `low` (its minimum met) and now continues at `position`.
        case run(instruction: Int, memo: Int, isBounded: Bool, low: Int, position: Int)
        /// A run that keeps all it took, from `low` to `end`: no choice, but if what follows fails, that is remembered.
        case possessiveRun(memo: Int, low: Int, end: Int)
    }

    private let program: RegexProgram
    /// Valid UTF-8.
    private let text: UnsafeBufferPointer<UInt8>
    private var start = 0
    private var end = 0
    /// Memory is indexed by position plus this, so that neighbouring regions do not share the position at their border.
    private var regionOffset = 0
    private let rowCount: Int
    private var memory: [UInt64] = []
    private var choices: [Choice] = []

    /// `regions` is the number of times `forEachMatch` will be called.
    init(_ program: RegexProgram, text: UnsafeBufferPointer<UInt8>, regions: Int) {
        self.program = program
        self.text = text
        rowCount = text.count + regions + 1
    }

    /// Calls `body` with the bounds of each match within `region`, whose borders are the text's borders to the pattern.
    ///
    /// Regions must come in order and be cut at scalars.
    mutating func forEachMatch(in region: Range<Int>, _ body: (_ start: Int, _ end: Int) -> Void) {
        start = region.lowerBound
        end = region.upperBound
        regionOffset += 1
        var position = start
        var previousEnd = -1
        while position <= end {
            let matchEnd = match(at: position)
            if matchEnd > position || matchEnd == position && matchEnd != previousEnd {
                body(position, matchEnd)
                previousEnd = matchEnd
            }
            if matchEnd > position {
                position = matchEnd
            } else if position < end {
                position += length(at: position)
            } else {
                break
            }
        }
    }

    /// The end of the match that starts at `position`, or -1.
    @inline(__always)
    private mutating func match(at position: Int) -> Int {
        if position < end, text[position] < 0x80 {
            var candidates = program.asciiAlternatives[Int(text[position])]
            while candidates != 0 {
                let matchEnd = run(program.alternatives[candidates.trailingZeroBitCount].start, at: position)
                if matchEnd >= 0 { return matchEnd }
                candidates &= candidates - 1
            }
            return -1
        }
        let scalar = position < end ? decode(at: position).value : nil
        for index in program.alternatives.indices {
            if program.alternatives[index].first.map({ first in scalar.map { first.contains($0) } ?? false }) ?? true {
                let matchEnd = run(program.alternatives[index].start, at: position)
                if matchEnd >= 0 { return matchEnd }
            }
        }
        return -1
    }

    // MARK: Text

    @inline(__always)
    private func length(at position: Int) -> Int {
        let byte = text[position]
        return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
    }

    @inline(__always)
    private func decode(at position: Int) -> (value: UInt32, length: Int) {
        UTF8Scalars.decode(text, at: position)
    }

    /// The length of the scalar at `position` if it is in the set, else 0.
    @inline(__always)
    private func consume(_ set: Int, at position: Int) -> Int {
        guard position < end else { return 0 }
        let byte = text[position]
        if byte < 0x80 { return program.sets[set].contains(ascii: byte) ? 1 : 0 }
        let (value, length) = decode(at: position)
        return program.sets[set].contains(value) ? length : 0
    }

    @inline(__always)
    private func previous(_ position: Int) -> Int {
        var position = position - 1
        while text[position] & 0xC0 == 0x80 { position -= 1 }
        return position
    }

    private func holds(_ anchor: RegexNode.Anchor, at position: Int) -> Bool {
        switch anchor {
        case .textStart: return position == start
        case .textEnd: return position == end
        case .lineStart: return position == start || text[position - 1] == 0x0A
        case .lineEnd: return position == end || text[position] == 0x0A
        case .wordBoundary, .notWordBoundary:
            guard let word = program.word else { return false }
            let before = position > start && word.contains(decode(at: previous(position)).value)
            let after = position < end && word.contains(decode(at: position).value)
            return (before != after) == (anchor == .wordBoundary)
        }
    }

    // MARK: Memory

    private enum Outcome { case unknown, failed, succeeded }

    @inline(__always)
    private func bit(_ memo: Int, _ position: Int) -> Int {
        ((position + regionOffset) * program.memoCount + memo) * 2
    }

    @inline(__always)
    private func recall(_ memo: Int, _ position: Int) -> Outcome {
        if memory.isEmpty { return .unknown }
        let bit = bit(memo, position)
        switch memory[bit >> 6] >> UInt64(bit & 63) & 3 {
        case 0: return .unknown
        case 1: return .failed
        default: return .succeeded
        }
    }

    private mutating func remember(_ outcome: Outcome, _ memo: Int, _ position: Int) {
        if memory.isEmpty {
            memory = [UInt64](repeating: 0, count: (rowCount * program.memoCount * 2) >> 6 + 1)
        }
        let bit = bit(memo, position)
        memory[bit >> 6] |= (outcome == .failed ? 1 : 2) << UInt64(bit & 63)
    }

    // MARK: Execution

    /// Runs from `instruction` to `accept`: the end of the match, or -1.
    private mutating func run(_ instruction: Int, at position: Int, isLooking: Bool = false) -> Int {
        let base = choices.count
        var instruction = instruction
        var position = position
        while true {
            let next: Int
            switch program.instructions[instruction] {
            case .set(let set):
                let length = consume(set, at: position)
                position += length
                next = length > 0 ? instruction + 1 : -1
            case .simpleRun(let set, let minimum, let maximum):
                var count = 0
                while count < maximum {
                    let length = consume(set, at: position)
                    if length == 0 { break }
                    position += length
                    count += 1
                }
                next = count >= minimum ? instruction + 1 : -1
            case .run(let set, let minimum, let maximum, let isPossessive, let memo):
                switch greedyRun(instruction, set, minimum, maximum, isPossessive, memo, at: position) {
                case .failed: next = -1
                case .succeeded: return succeed(base, at: position, isLooking: isLooking)
                case .continues(let reached):
                    position = reached
                    next = instruction + 1
                }
            case .split(let first, let second, let memo):
                switch recall(memo, position) {
                case .failed: next = -1
                // Only states of lookahead bodies are ever remembered as succeeding.
                case .succeeded: return succeed(base, at: position, isLooking: isLooking)
                case .unknown:
                    choices.append(.exhausted(memo: memo, position: position))
                    choices.append(.alternative(instruction: second, position: position))
                    next = first
                }
            case .jump(let target): next = target
            case .peek(let set, let negated):
                next = (consume(set, at: position) > 0) != negated ? instruction + 1 : -1
            case .peekBack(let set, let negated):
                let isThere = position > start && program.sets[set].contains(decode(at: previous(position)).value)
                next = isThere != negated ? instruction + 1 : -1
            case .look(let negated, let resume, let memo):
                next = look(instruction + 1, memo, at: position) != negated ? resume : -1
            case .anchor(let anchor): next = holds(anchor, at: position) ? instruction + 1 : -1
            case .accept: return succeed(base, at: position, isLooking: isLooking)
            }
            if next >= 0 {
                instruction = next
            } else if !backtrack(base, &instruction, &position) {
                return -1
            }
        }
    }

    private mutating func look(_ body: Int, _ memo: Int, at position: Int) -> Bool {
        switch recall(memo, position) {
        case .failed: return false
        case .succeeded: return true
        case .unknown:
            let succeeded = run(body, at: position, isLooking: true) >= 0
            remember(succeeded ? .succeeded : .failed, memo, position)
            return succeeded
        }
    }

    private enum RunResult {
        case failed
        /// The run reached a state from which the lookahead is known to succeed.
        case succeeded
        case continues(Int)
    }

    private mutating func greedyRun(
        _ instruction: Int, _ set: Int, _ minimum: Int, _ maximum: Int, _ isPossessive: Bool, _ memo: Int, at start: Int
    ) -> RunResult {
        var position = start
        for _ in 0..<minimum {
            let length = consume(set, at: position)
            if length == 0 { return .failed }
            position += length
        }
        // A bounded run is remembered by where it started. An unbounded one is a loop: being in it at a position with
        // its minimum met is a state of its own, shared by all runs that pass through, and is what is remembered.
        let isBounded = maximum != .max
        switch recall(memo, isBounded ? start : position) {
        case .failed: return .failed
        case .succeeded: return .succeeded
        case .unknown: break
        }
        let low = position
        var count = minimum
        while count < maximum {
            let length = consume(set, at: position)
            if length == 0 { break }
            if !isBounded {
                switch recall(memo, position + length) {
                case .failed:
                    // A possessive run would go on to where it failed before.
                    if isPossessive {
                        mark(.failed, memo, low, position)
                        return .failed
                    }
                    choices.append(
                        .run(instruction: instruction, memo: memo, isBounded: false, low: low, position: position))
                    return .continues(position)
                case .succeeded:
                    // Remembered before success is reported, so that no later run walks here again.
                    mark(.succeeded, memo, low, position)
                    return .succeeded
                case .unknown: break
                }
            }
            position += length
            count += 1
        }
        // A bounded run that is possessive is a `simpleRun`.
        if isBounded { choices.append(.exhausted(memo: memo, position: start)) }
        if isPossessive {
            choices.append(.possessiveRun(memo: memo, low: low, end: position))
        } else {
            choices.append(
                .run(instruction: instruction, memo: memo, isBounded: isBounded, low: low, position: position))
        }
        return .continues(position)
    }

    /// Goes to the latest choice that has an alternative left; false if there is none above `base`.
    private mutating func backtrack(_ base: Int, _ instruction: inout Int, _ position: inout Int) -> Bool {
        while choices.count > base {
            switch choices[choices.count - 1] {
            case .alternative(let alternative, let at):
                choices.removeLast()
                instruction = alternative
                position = at
                return true
            case .exhausted(let memo, let at):
                choices.removeLast()
                remember(.failed, memo, at)
            case .possessiveRun(let memo, let low, let end):
                choices.removeLast()
                mark(.failed, memo, low, end)
            case .run(let run, let memo, let isBounded, let low, let at):
                if !isBounded { remember(.failed, memo, at) }
                guard at > low else {
                    choices.removeLast()
                    continue
                }
                position = previous(at)
                instruction = run + 1
                choices[choices.count - 1] = .run(
                    instruction: run, memo: memo, isBounded: isBounded, low: low, position: position)
                return true
            }
        }
        return false
    }

    private mutating func succeed(_ base: Int, at position: Int, isLooking: Bool) -> Int {
        if isLooking {
            for index in base..<choices.count {
                switch choices[index] {
                case .alternative: break
                case .exhausted(let memo, let at): remember(.succeeded, memo, at)
                case .possessiveRun(let memo, let low, let end): mark(.succeeded, memo, low, end)
                case .run(_, let memo, let isBounded, let low, let at):
                    if !isBounded { mark(.succeeded, memo, low, at) }
                }
            }
        }
        choices.removeLast(choices.count - base)
        return position
    }

    private mutating func mark(_ outcome: Outcome, _ memo: Int, _ low: Int, _ high: Int) {
        for position in low...high { remember(outcome, memo, position) }
    }
}
