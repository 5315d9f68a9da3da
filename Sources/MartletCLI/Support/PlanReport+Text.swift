extension PlanReport {
    var text: String {
        var text = "\nOne decoded token after \(Quantities.grouped(context)) others, bytes read and written:\n\n"
        text += callsTable.markdown
        text += "\nkernel calls per layer: \(callsPerLayer)\n\n"
        text += totalsTable.markdown
        text += "\nWhat a step takes more without one fusion:\n\n" + savingsTable.markdown
        return text
    }

    private var callsTable: Table {
        var table = Table(
            .init("call"), .init("in"), .init("weights", .right), .init("keys, values", .right),
            .init("activations", .right), .init("operations", .right))
        for section in sections {
            for call in section.calls {
                table.append(
                    call.op, call.label, Quantities.grouped(call.numbers.weightBytes),
                    Quantities.grouped(call.numbers.kvBytes), Quantities.grouped(call.numbers.activationBytes),
                    Quantities.grouped(call.numbers.operations))
            }
        }
        return table
    }

    private var totalsTable: Table {
        var table = Table(
            .init("step"), .init("calls", .right), .init("weights", .right), .init("keys, values", .right),
            .init("activations", .right), .init("all bytes", .right), .init("operations", .right))
        for (name, numbers) in [("fused", fused), ("unfused", unfused)] {
            table.append(
                name, "\(numbers.calls)", Quantities.bytes(numbers.weightBytes), Quantities.bytes(numbers.kvBytes),
                Quantities.bytes(numbers.activationBytes), Quantities.bytes(numbers.bytes),
                Quantities.count(numbers.operations))
        }
        return table
    }

    private var savingsTable: Table {
        var table = Table(.init("fusion"), .init("calls", .right), .init("bytes", .right), .init("why"))
        for saving in savings {
            table.append(
                saving.fusion, "\(saving.calls)", Quantities.grouped(saving.bytes), saving.reason)
        }
        return table
    }
}
