/// A recursive transition network over bytes: nodes of finite automata that call each other, which is what a context-free
/// grammar is. Where a text stands is a node and a stack of the calls that are open.
struct Automaton: Sendable {
    typealias NodeID = Int32

    enum Node: Sendable {
        /// Takes one byte of a set.
        case bytes(set: Int32, next: NodeID)
        /// Goes on at any of these; without any there is no way on.
        case split([NodeID])
        /// Goes through a rule, then on at `next`.
        case call(rule: Int32, next: NodeID)
        /// The end of a rule.
        case end
        /// Goes through `body` as often as a counter on the stack admits, then on at `exit`.
        case loop(body: NodeID, exit: NodeID, atLeast: Int32, atMost: Int32)
        /// The end of a loop's body.
        case again(loop: NodeID)
    }

    /// `atMost` of a loop without a bound.
    static let unbounded = Int32.max

    private(set) var nodes: [Node]
    /// The first node of each rule.
    private(set) var rules: [NodeID]
    private(set) var sets: [ByteSet]
    let start: NodeID
    /// Whether a text can be completed from a node. Nobody goes where it can't.
    let isProductive: [Bool]
    /// Which bytes no set tells apart, and one of each class.
    let byteClasses: [UInt8]
    let representatives: [UInt8]

    /// In bytes, roughly.
    let memory: Int

    /// - Throws: `unsatisfiable`, or `unsupported` where a rule calls itself before it takes a byte.
    init(nodes: [Node], rules: [NodeID], sets: [ByteSet], start: NodeID) throws(GrammarError) {
        self.nodes = nodes
        self.rules = rules
        self.sets = sets
        self.start = start
        let analysis = AutomatonAnalysis(nodes: nodes, rules: rules)
        isProductive = analysis.productiveNodes()
        guard isProductive[Int(start)] else { throw GrammarError(.unsatisfiable, "no text satisfies it") }
        try analysis.checkLeftRecursion()
        var signatures: [[Bool]: UInt8] = [:]
        var classes: [UInt8] = []
        var representatives: [UInt8] = []
        let distinct = Array(Set(sets))
        for byte in UInt8.min...UInt8.max {
            let signature = distinct.map { $0.contains(byte) }
            if let known = signatures[signature] {
                classes.append(known)
            } else {
                let number = UInt8(truncatingIfNeeded: representatives.count)
                signatures[signature] = number
                classes.append(number)
                representatives.append(byte)
            }
        }
        let ways = nodes.reduce(0) { if case .split(let targets) = $1 { $0 + targets.count } else { $0 } }
        memory = nodes.count * (MemoryLayout<Node>.stride + 1) + ways * MemoryLayout<NodeID>.stride
        byteClasses = classes
        self.representatives = representatives
    }
}
