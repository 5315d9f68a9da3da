import Testing

@testable import MartletCLI

@Suite struct KeyDecoderTests {
    private func keys(_ text: String) -> [Key] {
        var decoder = KeyDecoder()
        return decoder.decode(Array(text.utf8))
    }

    @Test func plainTextAndControlKeys() {
        #expect(
            keys("ab\u{1}\u{5}\u{B}\u{15}\u{17}") == [.text("ab"), .home, .end, .killToEnd, .killToStart, .killWord])
        #expect(
            keys("\u{3}\u{4}\r\n\t\u{7F}\u{8}") == [
                .interrupt, .endOfInput, .enter, .enter, .tab, .backspace, .backspace,
            ])
        #expect(keys("\u{10}\u{E}\u{C}\u{1D}x") == [.up, .down, .clearScreen, .text("x")])
    }

    @Test func sequences() {
        #expect(keys("\u{1B}[A\u{1B}[B\u{1B}[C\u{1B}[D\u{1B}OA") == [.up, .down, .right, .left, .up])
        #expect(keys("\u{1B}[H\u{1B}[F\u{1B}[1~\u{1B}[4~\u{1B}[3~") == [.home, .end, .home, .end, .delete])
        #expect(
            keys("\u{1B}[1;5C\u{1B}[1;5D\u{1B}b\u{1B}f\u{1B}\u{7F}") == [
                .wordRight, .wordLeft, .wordLeft, .wordRight, .killWord,
            ])
        // Unknown ones stand for nothing, and what follows is read.
        #expect(keys("\u{1B}[99;1u\u{1B}[15~\u{1B}xa") == [.text("a")])
        #expect(keys("\u{1B}\u{1B}[A") == [.up])
    }

    /// Bytes may come one at a time.
    @Test func everySplitGivesTheSame() {
        let input = Array("é日🙂\u{1B}[3~\u{1B}OD\u{1B}[200~x\r\ny\u{1B}[201~z".utf8)
        let expected: [Key] = [.text("é日🙂"), .delete, .left, .paste("x\ny"), .text("z")]
        for split in 0...input.count {
            var decoder = KeyDecoder()
            var keys = decoder.decode(input[..<split])
            for key in decoder.decode(input[split...]) {
                if case .text(let text) = key, case .text(let before) = keys.last {
                    keys[keys.count - 1] = .text(before + text)
                } else {
                    keys.append(key)
                }
            }
            #expect(keys == expected, "split at \(split)")
        }
        var decoder = KeyDecoder()
        let single = input.flatMap { decoder.decode([$0]) }
        #expect(single.count == 7 && !decoder.isIncomplete)
    }

    @Test func aLoneEscapeIsForgotten() {
        var decoder = KeyDecoder()
        #expect(decoder.decode([0x1B]).isEmpty)
        #expect(decoder.isIncomplete)
        decoder.flush()
        #expect(decoder.decode(Array("[A".utf8)) == [.text("[A")])
    }

    @Test func pastedControlCharactersAreDropped() {
        #expect(keys("\u{1B}[200~a\u{1B}[31mb\u{3}\tc\r\rd\n\u{1B}[201~") == [.paste("a[31mb\tc\n\nd\n")])
    }

    @Test func invalidBytesBecomeReplacementCharacters() {
        var decoder = KeyDecoder()
        #expect(decoder.decode([0xFF, 0x61, 0xC3, 0x28]) == [.text("\u{FFFD}a\u{FFFD}(")])
    }

    @Test func anEndlessSequenceIsDropped() {
        var decoder = KeyDecoder()
        _ = decoder.decode(Array(("\u{1B}[" + String(repeating: "1", count: 1000)).utf8))
        #expect(!decoder.isIncomplete)
    }
}

@Suite struct LineEditorTests {
    private func edited(_ keys: Key..., history: [String] = []) -> LineEditor {
        var editor = LineEditor(history: history)
        for key in keys { #expect(editor.handle(key) == .editing) }
        return editor
    }

    @Test func typingAndMoving() {
        let editor = edited(.text("held"), .left, .left, .text("l"), .end, .text(" there"), .home, .text("> "))
        #expect(editor.text == "> helld there")
        #expect(editor.cursor == 2)
    }

    @Test func deleting() {
        #expect(edited(.text("abc"), .backspace).text == "ab")
        #expect(edited(.text("abc"), .home, .delete).text == "bc")
        #expect(edited(.text("abc"), .home, .endOfInput).text == "bc")
        #expect(edited(.text("abc"), .home, .backspace).text == "abc")
        #expect(edited(.text("abc"), .delete).text == "abc")
        #expect(edited(.text("one two  three"), .killWord).text == "one two  ")
        #expect(edited(.text("one two  three"), .killWord, .killWord).text == "one ")
        #expect(edited(.text("one two"), .wordLeft, .killToStart).text == "two")
        #expect(edited(.text("one two"), .wordLeft, .left, .killToEnd).text == "one")
    }

    @Test func charactersNotScalars() {
        #expect(edited(.text("a👩‍👩‍👧é"), .backspace, .backspace).text == "a")
        // A mark joins the character before it, though it came later.
        let editor = edited(.text("ex"), .left, .text("\u{301}"))
        #expect(editor.characters == ["e\u{301}", "x"])
        #expect(editor.cursor == 1)
    }

    @Test func wordsAreSkipped() {
        #expect(edited(.text("one two"), .wordLeft).cursor == 4)
        #expect(edited(.text("one two"), .wordLeft, .wordLeft, .wordLeft).cursor == 0)
        #expect(edited(.text("one two"), .home, .wordRight).cursor == 3)
        #expect(edited(.text("one two"), .home, .wordRight, .wordRight).cursor == 7)
    }

    @Test func pastedLines() {
        let editor = edited(.paste("one\ntwo\nthree"), .home)
        #expect(editor.cursor == 8)
        #expect(edited(.paste("one\ntwo"), .home, .left, .killToStart).text == "\ntwo")
        #expect(edited(.paste("one\ntwo"), .home, .killToEnd).text == "one\n")
    }

    @Test func endings() {
        var editor = edited(.text("hi"))
        #expect(editor.handle(.enter) == .submitted("hi"))
        #expect(editor.handle(.interrupt) == .interrupted(wasEmpty: false))
        var empty = edited()
        #expect(empty.handle(.interrupt) == .interrupted(wasEmpty: true))
        #expect(empty.handle(.endOfInput) == .endOfInput)
        #expect(empty.handle(.clearScreen) == .clearScreen)
    }

    @Test func historyKeepsTheDraft() {
        var editor = edited(.text("draft"), .up, history: ["first", "second"])
        #expect(editor.text == "second")
        _ = editor.handle(.up)
        _ = editor.handle(.up)
        #expect(editor.text == "first" && editor.cursor == 5)
        _ = editor.handle(.down)
        _ = editor.handle(.down)
        #expect(editor.text == "draft")
        _ = editor.handle(.down)
        #expect(editor.text == "draft")
        #expect(edited(.up, .down).text == "")
    }
}

@Suite struct LineLayoutTests {
    private func layout(_ text: String, cursor: Int? = nil, width: Int) -> LineLayout {
        LineLayout(
            prompt: "> ", continuation: ". ", characters: Array(text), cursor: cursor ?? text.count, width: width)
    }

    private func expect(
        _ layout: LineLayout, _ rows: [String], _ row: Int, _ column: Int,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(layout.rows == rows, sourceLocation: sourceLocation)
        #expect([layout.cursorRow, layout.cursorColumn] == [row, column], sourceLocation: sourceLocation)
    }

    @Test func wrapping() {
        expect(layout("", width: 10), ["> "], 0, 2)
        expect(layout("abc", width: 10), ["> abc"], 0, 5)
        expect(layout("abcdefghij", width: 10), ["> abcdefgh", "ij"], 1, 2)
        // The cursor has no place behind a full row.
        expect(layout("abcdefgh", width: 10), ["> abcdefgh", ""], 1, 0)
        expect(layout("abcdefghi", cursor: 8, width: 10), ["> abcdefgh", "i"], 1, 0)
    }

    @Test func wideCharactersAreNotSplit() {
        expect(layout("日本", width: 5), ["> 日", "本"], 1, 2)
        expect(layout("日本", cursor: 1, width: 5), ["> 日", "本"], 1, 0)
        expect(layout("日本", cursor: 1, width: 10), ["> 日本"], 0, 4)
    }

    @Test func newlines() {
        expect(layout("a\nb", width: 10), ["> a", ". b"], 1, 3)
        expect(layout("a\nb", cursor: 1, width: 10), ["> a", ". b"], 0, 3)
        expect(layout("a\n", width: 10), ["> a", ". "], 1, 2)
        expect(layout("a\tb", width: 10), ["> a    b"], 0, 8)
        // A newline right behind a full row.
        expect(layout("abc\nd", cursor: 3, width: 5), ["> abc", ". d"], 0, 4)
    }

    @Test func longTextIsScrolled() {
        let all = layout("a\nb\nc\nd", cursor: 2, width: 10)
        expect(all.visible(height: 2), ["> a", ". b"], 1, 2)
        expect(layout("a\nb\nc\nd", width: 10).visible(height: 2), [". c", ". d"], 1, 3)
        expect(all.visible(height: 9), all.rows, 1, 2)
    }
}
