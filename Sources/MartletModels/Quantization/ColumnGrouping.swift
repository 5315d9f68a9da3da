import MartletGraph

/// Which group of a quantized layer each of its inputs (columns) belongs to.
struct ColumnGrouping: Sendable {
    /// By column, in `order`.
    let groups: [Int32]
    /// How columns are put in order so that those of a group are neighbours; nil where they are.
    let order: ColumnOrder?
    /// Each 32 columns belong to one group.
    let isAligned: Bool

    /// Groups of `size` columns, the last one of what is left.
    init(size: Int, columns: Int) {
        groups = (0..<columns).map { Int32($0 / size) }
        order = nil
        isAligned = size % Self.block == 0 || size >= columns
    }

    /// - Parameters:
    ///   - groups: each column's group.
    ///   - keepsOrder: columns are left where they are.
    ///   - intern: gives the same object for the same order.
    init(groups: [Int32], keepsOrder: Bool, intern: ([Int32]) -> ColumnOrder) {
        let sorted = groups.indices.sorted { (groups[$0], $0) < (groups[$1], $1) }.map(Int32.init)
        let ordered = sorted.map { groups[Int($0)] }
        let wouldBeAligned = Self.isAligned(ordered)
        // Where it doesn't help, columns stay.
        if keepsOrder || groups == ordered || !wouldBeAligned {
            self.groups = groups
            order = nil
            isAligned = Self.isAligned(groups)
        } else {
            self.groups = ordered
            order = intern(sorted)
            isAligned = true
        }
    }

    /// Columns that share a scale in the kernels' layouts.
    private static let block = 32

    private static func isAligned(_ groups: [Int32]) -> Bool {
        groups.indices.allSatisfy { groups[$0] == groups[$0 / block * block] }
    }
}
