/// A text that is equal only to one of the same scalars. Swift's `==` also holds for texts that look alike ("é" and "e" + accent), which
/// are different names and values in JSON.
struct ExactString: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: Self, right: Self) -> Bool {
        // Swift's comparison is quick, and settles nearly all.
        left.text == right.text && left.text.utf8.elementsEqual(right.text.utf8)
    }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
