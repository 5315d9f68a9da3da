/// The states that texts lead to, explored as they come: a lazy deterministic automaton over sets of configurations.
///
/// A configuration is a node and a stack of open calls. Stacks share their lower parts, and are numbered as states are, so
/// equal states are found again in whatever way a text came there (Earley's idea, with RE2's cache).
struct StateSpace {
    typealias StateID = Int32

    /// Nothing leads on from here.
    static let dead: StateID = 0
    private static let unknown: StateID = -1

    /// An open call or a loop's counter.
    private struct Frame: Hashable {
        /// Where a call goes on, or the loop.
        let node: Automaton.NodeID
        let count: Int32
        let below: Int32
    }

    private struct State {
        /// Nodes that take a byte, with their stacks; sorted.
        let configurations: [UInt64]
        /// Whether the text may end here.
        let isComplete: Bool
    }

    private let automaton: Automaton
    private let limits: GrammarLimits
    private var states: [State] = []
    private var numbers: [[UInt64]: [StateID]] = [:]
    /// `[states.count, classes]`.
    private var transitions: [StateID] = []
    private var frames: [Frame] = []
    private var frameNumbers: [Frame: Int32] = [:]
    private(set) var start: StateID = 0
    /// Configurations visited since the start.
    private(set) var work = 0
    // Scratch memory.
    private var open: [UInt64] = []
    private var seen: Set<UInt64> = []
    private var found: [UInt64] = []
    private var isComplete = false

    /// The stack of a text's first rule.
    private static let bottom: Int32 = 0

    init(_ automaton: Automaton, limits: GrammarLimits) throws(GrammarError) {
        self.automaton = automaton
        self.limits = limits
        frames = [Frame(node: 0, count: 0, below: 0)]
        _ = intern()
        try visit(automaton.start, Self.bottom)
        start = intern()
    }

    private var classCount: Int { automaton.representatives.count }

    /// Roughly.
    private(set) var memory = 0

    func isComplete(_ state: StateID) -> Bool { states[Int(state)].isComplete }

    /// Where a byte leads.
    ///
    /// - Throws: `tooComplex` where a text may be at too many places at the same time.
    @inline(__always)
    mutating func next(_ state: StateID, _ byte: UInt8) throws(GrammarError) -> StateID {
        let place = Int(state) * classCount + Int(automaton.byteClasses[Int(byte)])
        let known = transitions[place]
        return known != Self.unknown ? known : try explore(state, byte, place)
    }

    private mutating func explore(_ state: StateID, _ byte: UInt8, _ place: Int) throws(GrammarError) -> StateID {
        for configuration in states[Int(state)].configurations {
            guard case .bytes(let set, let next) = automaton.nodes[Int(configuration >> 32)] else { continue }
            if automaton.sets[Int(set)].contains(byte) {
                try visit(next, Int32(truncatingIfNeeded: configuration))
            }
        }
        work += states[Int(state)].configurations.count
        let result = intern()
        transitions[place] = result
        return result
    }

    /// Takes a state over from another space of the same automaton.
    ///
    /// - Returns: its number here.
    mutating func adopt(_ state: StateID, of other: StateSpace) -> StateID {
        let configurations = other.states[Int(state)].configurations
        var needed: Set<Int32> = []
        for configuration in configurations {
            var stack = Int32(truncatingIfNeeded: configuration)
            while stack != Self.bottom, needed.insert(stack).inserted { stack = other.frames[Int(stack)].below }
        }
        var numbers = [Self.bottom: Self.bottom]
        // A frame is made after those below it, so it has a larger number.
        for number in needed.sorted() {
            let old = other.frames[Int(number)]
            numbers[number] = frame(Frame(node: old.node, count: old.count, below: numbers[old.below] ?? Self.bottom))
        }
        found = configurations.map { configuration in
            let stack = numbers[Int32(truncatingIfNeeded: configuration)] ?? Self.bottom
            return configuration & ~0xFFFF_FFFF | UInt64(UInt32(bitPattern: stack))
        }
        isComplete = other.isComplete(state)
        return intern()
    }

    /// The state of what was visited since the last one.
    private mutating func intern() -> StateID {
        defer {
            found.removeAll(keepingCapacity: true)
            seen.removeAll(keepingCapacity: true)
            isComplete = false
        }
        found.sort()
        for number in numbers[found] ?? [] where states[Int(number)].isComplete == isComplete { return number }
        let number = StateID(states.count)
        states.append(State(configurations: found, isComplete: isComplete))
        numbers[found, default: []].append(number)
        transitions.append(contentsOf: repeatElement(Self.unknown, count: classCount))
        memory += 128 + 24 * found.count + 4 * classCount
        return number
    }

    /// Goes from a node to all that take a byte, and adds them to `found`.
    private mutating func visit(_ node: Automaton.NodeID, _ stack: Int32) throws(GrammarError) {
        push(node, stack)
        while let configuration = open.popLast() {
            work += 1
            let index = Int(configuration >> 32)
            let stack = Int32(truncatingIfNeeded: configuration)
            switch automaton.nodes[index] {
            case .bytes: found.append(configuration)
            case .split(let targets):
                work += targets.count
                for target in targets { push(target, stack) }
            case .call(let rule, let next):
                // A call at the end of a rule takes its place: lists that are written as recursion keep a flat stack.
                var below = stack
                if case .end = automaton.nodes[Int(next)] {
                } else {
                    below = frame(Frame(node: next, count: 0, below: stack))
                }
                push(automaton.rules[Int(rule)], below)
            case .end:
                if stack == Self.bottom {
                    isComplete = true
                } else {
                    push(frames[Int(stack)].node, frames[Int(stack)].below)
                }
            case .loop: enter(Int32(index), count: 0, below: stack)
            case .again(let loop):
                let top = frames[Int(stack)]
                enter(loop, count: top.count + 1, below: top.below)
            }
            guard found.count <= limits.configurations, seen.count <= 8 * limits.configurations else {
                open.removeAll()
                _ = intern()
                throw .tooComplex("it is too ambiguous: a text can be read in more than \(limits.configurations) ways")
            }
        }
    }

    private mutating func push(_ node: Automaton.NodeID, _ stack: Int32) {
        guard automaton.isProductive[Int(node)] else { return }
        let configuration = UInt64(UInt32(bitPattern: node)) << 32 | UInt64(UInt32(bitPattern: stack))
        if seen.insert(configuration).inserted { open.append(configuration) }
    }

    /// A loop's body was gone through `count` times.
    private mutating func enter(_ loop: Automaton.NodeID, count: Int32, below: Int32) {
        guard case .loop(let body, let exit, let atLeast, let atMost) = automaton.nodes[Int(loop)] else { return }
        if count >= atLeast { push(exit, below) }
        // Without a bound nothing depends on the count any more.
        let counted = atMost == Automaton.unbounded ? min(count, atLeast) : count
        if count < atMost { push(body, frame(Frame(node: loop, count: counted, below: below))) }
    }

    private mutating func frame(_ frame: Frame) -> Int32 {
        if let known = frameNumbers[frame] { return known }
        let number = Int32(frames.count)
        frames.append(frame)
        memory += 64
        frameNumbers[frame] = number
        return number
    }
}
