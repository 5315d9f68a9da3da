import Testing

@testable import MartletHub

@Suite struct HubReferenceTests {
    @Test(
        arguments: [
            ("org/repo", "org/repo", nil, HubReference.Selection.checkpoint),
            ("org/repo@v1.0", "org/repo", "v1.0", .checkpoint),
            ("org/repo@refs/pr/1", "org/repo", "refs/pr/1", .checkpoint),
            ("org/repo/a.gguf", "org/repo", nil, .file("a.gguf")),
            ("org/repo/b/a.gguf@x", "org/repo", "x", .file("b/a.gguf")),
            ("o-r.g/re_po:Q4_K_M", "o-r.g/re_po", nil, .quantization("Q4_K_M")),
            ("org/repo:IQ2_XXS@main", "org/repo", "main", .quantization("IQ2_XXS")),
            ("https://huggingface.co/org/repo", "org/repo", nil, .checkpoint),
            ("hf.co/org/repo:Q8_0", "org/repo", nil, .quantization("Q8_0")),
        ] as [(String, String, String?, HubReference.Selection)])
    func names(_ name: String, _ repository: String, _ revision: String?, _ selection: HubReference.Selection) throws {
        let reference = try HubReference(name)
        #expect(
            reference.repository == repository && reference.revision == revision && reference.selection == selection)
        #expect(try HubReference(reference.description) == reference)
    }

    @Test(
        arguments: [
            ("https://huggingface.co/org/repo/", nil, .checkpoint),
            ("http://www.huggingface.co/org/repo?library=x#y", nil, .checkpoint),
            ("https://huggingface.co/org/repo/tree/main", nil, .checkpoint),
            ("https://huggingface.co/org/repo/tree/v1.0/", "v1.0", .checkpoint),
            ("https://huggingface.co/org/repo/tree/refs%2Fpr%2F1", "refs/pr/1", .checkpoint),
            ("https://huggingface.co/org/repo/blob/main/m.gguf", nil, .file("m.gguf")),
            ("huggingface.co/org/repo/resolve/main/a/m%20x.gguf?download=true", nil, .file("a/m x.gguf")),
            ("hf.co/org/repo/resolve/abc/m.gguf", "abc", .file("m.gguf")),
            ("https://mirror.example/hf/org/repo/blob/main/m.gguf", nil, .file("m.gguf")),
        ] as [(String, String?, HubReference.Selection)])
    func addresses(_ address: String, _ revision: String?, _ selection: HubReference.Selection) throws {
        let reference = try HubReference(address, endpoint: "https://mirror.example/hf")
        #expect(reference.repository == "org/repo" && reference.revision == revision)
        #expect(reference.selection == selection)
        #expect(try HubReference(reference.description) == reference)
    }

    @Test(arguments: [
        "https://example.com/org/repo", "https://mirror.example/org/repo", "ftp://huggingface.co/org/repo",
    ])
    func otherAddressesAreRefusedAsSuch(_ address: String) {
        let error = #expect(throws: HubError.self) { try HubReference(address, endpoint: "https://mirror.example/hf") }
        #expect(error?.message.contains("addresses only those of https://mirror.example/hf") == true)
    }

    @Test(arguments: [
        "https://huggingface.co/", "https://huggingface.co/org",
        "https://huggingface.co/org/repo/blob/main/x.safetensors",
        "https://huggingface.co/org/repo/blob/main/a%2F..%2Fm.gguf", "https://huggingface.co/org/repo/blob/%0A/m.gguf",
        "https://huggingface.co/a%2Fb/repo/blob/main/m.gguf",
        "", "repo", "/", "a/", "/b", "org/repo/", "org/repo/file.bin", "org/repo/x", "../x", "a/..", ".a/b", "a/.b",
        "a b/c", "a/b c", "a/ü", "a/b@", "a/b:", "a/b:x/y", "a/b/c.gguf:Q4", "a/b@x y", "a/b/../c.gguf", "a/b//c.gguf",
        "a/b/.c.gguf", "a/b\u{0}", "models/x.gguf", "a/b@\u{1B}[31m", "https://example.com/a/b",
        String(repeating: "a", count: 97) + "/b",
    ])
    func refusedNames(_ name: String) {
        let error = #expect(throws: HubError.self) { try HubReference(name) }
        #expect(error?.code == .invalidName)
        #expect(error?.message.unicodeScalars.allSatisfy { $0.value >= 0x20 } ?? false)
    }

    @Test(arguments: [
        ("Model-Q4_K_M.gguf", "q4_k_m", true), ("Model-Q4_K_M.gguf", "Q4_K", false),
        ("Model-IQ4_XS.gguf", "Q4_XS", false),
        ("Model.Q8_0.gguf", "Q8_0", true), ("UD-Q2_K_XL/M.gguf", "q2_k_xl", true), ("M-Q8_0x.gguf", "Q8_0", false),
        ("x.gguf", "muchlongerthanthename", false),
    ])
    func quantizations(_ path: String, _ name: String, _ matches: Bool) {
        #expect(GGUFFileName.matches(path, quantization: name) == matches)
    }

    @Test func pathsInURLs() {
        #expect(RepositoryPath.encoded("a/b c%ü?#", keepsSlashes: true) == "a/b%20c%25%C3%BC%3F%23")
        #expect(RepositoryPath.encoded("refs/pr/1", keepsSlashes: false) == "refs%2Fpr%2F1")
        #expect(RepositoryPath.encoded("\u{1}", keepsSlashes: false) == "%01")
    }
}
