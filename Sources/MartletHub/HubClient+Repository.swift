internal import Foundation
internal import NIOHTTP1

/// The hub's API: https://huggingface.co/docs/hub/api.
extension HubClient {
    private static let maximumAnswer = 32 << 20
    private static let maximumPages = 200
    private static let maximumFiles = 100_000

    /// The commit that a revision stands for now.
    func commit(of reference: HubReference) async throws -> String {
        struct Answer: Decodable { let sha: String? }
        let revision = reference.revision ?? "main"
        let address =
            api(reference.repository) + "/revision/" + RepositoryPath.encoded(revision, keepsSlashes: false)
        let subject = reference.repository + (reference.revision.map { "@" + $0 } ?? "")
        let (bytes, _) = try await data(address, subject: subject, limit: Self.maximumAnswer)
        guard let sha = (try? JSONDecoder().decode(Answer.self, from: Data(bytes)))?.sha,
            ContentHash.isHex(sha, count: 40)
        else { throw HubError(.badResponse, "\(subject): the hub names no commit") }
        return sha
    }

    /// All files of a commit.
    func files(of repository: String, commit: String) async throws -> [RepositoryFile] {
        var files: [RepositoryFile] = []
        var address: String? = api(repository) + "/tree/\(commit)?recursive=true"
        for _ in 0..<Self.maximumPages {
            guard let page = address else { return files }
            let (bytes, response) = try await data(page, subject: repository, limit: Self.maximumAnswer)
            files += try Self.decodeFiles(bytes, repository)
            guard files.count <= Self.maximumFiles else { break }
            address = Self.nextPage(response)
        }
        guard address == nil else { throw HubError(.badResponse, "\(repository): the list of files has no end") }
        return files
    }

    private static func decodeFiles(_ bytes: [UInt8], _ repository: String) throws -> [RepositoryFile] {
        struct Entry: Decodable {
            struct LFS: Decodable { let oid: String, size: Int }
            let type: String, path: String
            let size: Int?, oid: String?, lfs: LFS?
        }
        guard let entries = try? JSONDecoder().decode([Entry].self, from: Data(bytes)) else {
            throw HubError(.badResponse, "\(repository): the list of files is malformed")
        }
        return try entries.filter { $0.type == "file" }.compactMap { entry in
            // A path that leaves the folder is nothing that we would download anyway.
            guard RepositoryPath.isSafe(entry.path) else { return nil }
            let hash = entry.lfs.map { ContentHash(sha256: $0.oid) } ?? entry.oid.flatMap { ContentHash(gitBlob: $0) }
            guard let hash, let size = entry.lfs?.size ?? entry.size, (0..<(1 << 50)).contains(size) else {
                throw HubError(.badResponse, "\(repository): \(entry.path.excerpt) is listed without size or hash")
            }
            return RepositoryFile(path: entry.path, size: size, hash: hash)
        }
    }

    /// `Link: <address>; rel="next"` (RFC 8288).
    private static func nextPage(_ response: Response) -> String? {
        for link in response.headers[canonicalForm: "Link"] where link.contains("rel=\"next\"") {
            guard let start = link.firstIndex(of: "<"), let end = link.firstIndex(of: ">"), start < end else {
                continue
            }
            let address = String(link[link.index(after: start)..<end])
            return URL(string: address, relativeTo: response.url)?.absoluteString
        }
        return nil
    }

    private func api(_ repository: String) -> String { configuration.endpoint + "/api/models/" + repository }

    /// Where a file's bytes are.
    func address(of path: String, in repository: String, commit: String) -> String {
        "\(configuration.endpoint)/\(repository)/resolve/\(commit)/\(RepositoryPath.encoded(path, keepsSlashes: true))"
    }
}
