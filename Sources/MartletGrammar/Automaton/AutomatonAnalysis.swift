/// What can be said of an automaton without a text.
struct AutomatonAnalysis {
    let nodes: [Automaton.Node]
    let rules: [Automaton.NodeID]

    /// From which nodes the end of their rule can be reached, by working backwards from the ends.
    ///
    /// - Parameter throughBytes: false for ways that take no byte only.
    func productiveNodes(throughBytes: Bool = true) -> [Bool] {
        // Who waits for a node to become productive.
        var waiting = [[Int32]](repeating: [], count: nodes.count)
        var ruleWaiting: [Automaton.NodeID: [Int32]] = [:]
        var productive = [Bool](repeating: false, count: nodes.count)
        var work: [Int32] = []
        for (index, node) in nodes.enumerated() {
            let index = Int32(index)
            switch node {
            case .bytes(_, let next): if throughBytes { waiting[Int(next)].append(index) }
            case .split(let targets): for target in targets { waiting[Int(target)].append(index) }
            case .call(let rule, let next):
                waiting[Int(next)].append(index)
                ruleWaiting[rules[Int(rule)], default: []].append(index)
            case .end: work.append(index)
            case .loop(let body, let exit, _, _):
                waiting[Int(exit)].append(index)
                waiting[Int(body)].append(index)
            // A body has come to its end; whether the loop's exit leads anywhere is the loop's affair.
            case .again: work.append(index)
            }
        }
        func isReady(_ index: Int32) -> Bool {
            switch nodes[Int(index)] {
            case .call(let rule, let next): productive[Int(next)] && productive[Int(rules[Int(rule)])]
            case .loop(let body, let exit, let atLeast, _):
                productive[Int(exit)] && (atLeast == 0 || productive[Int(body)])
            default: true
            }
        }
        while let index = work.popLast() {
            guard !productive[Int(index)], isReady(index) else { continue }
            productive[Int(index)] = true
            work += waiting[Int(index)]
            work += ruleWaiting[index] ?? []
        }
        return productive
    }

    /// - Throws: where a rule calls itself before it takes a byte: its stack would grow without end.
    func checkLeftRecursion() throws(GrammarError) {
        let isNullable = nullableNodes()
        // Which rules each rule calls before it takes a byte.
        var callees: [Automaton.NodeID: [Automaton.NodeID]] = [:]
        for entry in Set(rules) {
            var seen: Set<Int32> = [entry]
            var work = [entry]
            while let index = work.popLast() {
                var targets: [Int32] = []
                switch nodes[Int(index)] {
                case .bytes, .end, .again: break
                case .split(let all): targets = all
                case .call(let rule, let next):
                    callees[entry, default: []].append(rules[Int(rule)])
                    if isNullable[Int(rules[Int(rule)])] { targets = [next] }
                case .loop(let body, let exit, let atLeast, _):
                    targets = [body]
                    if atLeast == 0 || isNullable[Int(body)] { targets.append(exit) }
                }
                for target in targets where seen.insert(target).inserted { work.append(target) }
            }
        }
        var state: [Automaton.NodeID: Bool] = [:]
        for entry in Set(rules) where state[entry] == nil {
            // Depth-first, without recursion: true while a rule is open.
            var path = [(entry, 0)]
            state[entry] = true
            while let (rule, position) = path.last {
                let list = callees[rule] ?? []
                guard position < list.count else {
                    state[rule] = false
                    path.removeLast()
                    continue
                }
                path[path.count - 1].1 += 1
                let callee = list[position]
                guard state[callee] != true else {
                    throw .unsupported("a rule that begins with itself (left recursion) is not supported")
                }
                if state[callee] == nil {
                    state[callee] = true
                    path.append((callee, 0))
                }
            }
        }
    }

    /// From which nodes the end of their rule, or of their loop's body, can be reached without a byte.
    private func nullableNodes() -> [Bool] { productiveNodes(throughBytes: false) }
}
