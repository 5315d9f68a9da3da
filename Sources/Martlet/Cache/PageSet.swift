/// A set of page numbers with insertion, removal and choice in constant time.
///
/// The members lie in an array in no particular order, and a second array knows where each one lies, so a removal
/// moves the last member into the gap (Briggs and Torczon, "An efficient representation for sparse sets", 1993).
struct PageSet: Sendable {
    private(set) var members: [Int32] = []
    /// Page → its index in `members`, or -1.
    private var places: [Int32]

    init(pageCount: Int) {
        members.reserveCapacity(pageCount)
        places = Array(repeating: -1, count: pageCount)
    }

    /// The member inserted last, as long as nothing was removed since.
    var last: Int? { members.last.map { Int($0) } }

    func contains(_ page: Int) -> Bool { places[page] >= 0 }

    mutating func insert(_ page: Int) {
        assert(!contains(page))
        places[page] = Int32(members.count)
        members.append(Int32(page))
    }

    mutating func remove(_ page: Int) {
        assert(contains(page))
        let place = Int(places[page])
        let moved = members.removeLast()
        if place < members.count {
            members[place] = moved
            places[Int(moved)] = Int32(place)
        }
        places[page] = -1
    }
}
