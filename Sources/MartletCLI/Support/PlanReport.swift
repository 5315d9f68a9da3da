import MartletGraph

/// What a step does and moves, and what each fusion saves: the numbers behind `show --plan`.
struct PlanReport: Encodable {
    struct Numbers: Encodable {
        /// Kernel calls of one step.
        var calls: Int
        var weightBytes: Int
        var kvBytes: Int
        var activationBytes: Int
        /// Multiplications and additions.
        var operations: Int

        var bytes: Int { weightBytes + kvBytes + activationBytes }

        init(calls: Int, _ traffic: Traffic) {
            self.calls = calls
            weightBytes = traffic.weightBytes
            kvBytes = traffic.kvBytes
            activationBytes = traffic.activationBytes
            operations = traffic.operations
        }

        init(_ plan: Plan, in step: Plan.StepShape) {
            self.init(calls: plan.calls.count, plan.traffic(in: step))
        }
    }

    struct Call: Encodable {
        let op: String
        let label: String
        let numbers: Numbers
    }

    struct Section: Encodable {
        let title: String
        let calls: [Call]
    }

    struct Saving: Encodable {
        let fusion: String
        let reason: String
        /// What a step takes more if this fusion alone is left out.
        let calls: Int
        let bytes: Int
    }

    /// Positions that the decoded token sees.
    let context: Int
    let callsPerLayer: Int
    /// Before the first layer, one layer in the middle, and after the last.
    let sections: [Section]
    let fused: Numbers
    let unfused: Numbers
    let savings: [Saving]

    /// - Parameters:
    ///   - plan: gives the model's plan with some of the fusions.
    init(context: Int, layerCount: Int, plan: ([Fusion]) throws -> Plan) rethrows {
        let step = Plan.StepShape.decode(context: context)
        let fusedPlan = try plan(Fusion.all)
        let numbers = Numbers(fusedPlan, in: step)
        self.context = context
        fused = numbers
        unfused = Numbers(try plan([]), in: step)
        sections = Self.sections(of: fusedPlan, layerCount: layerCount, in: step)
        callsPerLayer = sections.first { $0.title.hasPrefix("layer") }?.calls.count ?? 0
        savings = try Fusion.all.map { fusion in
            let without = Numbers(try plan(Fusion.all.filter { $0.name != fusion.name }), in: step)
            return Saving(
                fusion: fusion.name, reason: fusion.reason, calls: without.calls - numbers.calls,
                bytes: without.bytes - numbers.bytes)
        }
    }

    private static func sections(of plan: Plan, layerCount: Int, in step: Plan.StepShape) -> [Section] {
        // The first layer may share a call with the embedding, and the last with the head: one between them is typical.
        let typical = layerCount / 2
        var sections: [Section] = []
        func add(_ title: String, _ isIncluded: (Plan.Call) -> Bool) {
            let calls = plan.calls.filter(isIncluded).map {
                Call(op: $0.op.name, label: $0.label, numbers: Numbers(calls: 1, plan.traffic(of: $0, in: step)))
            }
            if !calls.isEmpty { sections.append(Section(title: title, calls: calls)) }
        }
        let firstLayer = plan.calls.firstIndex { $0.layer != nil } ?? plan.calls.count
        let before = plan.calls[..<firstLayer].map(\.label)
        add("before the layers") { $0.layer == nil && before.contains($0.label) }
        add("layer \(typical) of \(layerCount)") { $0.layer == typical }
        add("after the layers") { $0.layer == nil && !before.contains($0.label) }
        return sections
    }
}

extension Plan.Call {
    /// The number in "layers.3.mlp"; nil for calls outside of the layers.
    var layer: Int? {
        let parts = label.split(separator: ".", maxSplits: 2)
        return parts.count > 1 && parts[0] == "layers" ? Int(parts[1]) : nil
    }
}
