/// How much each client got: virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024).
///
/// Whoever got the fewest tokens is next. A client that comes (back) starts at what the least served one has, so nobody
/// saves up a claim by being idle. Clients without requests are forgotten: as many are known as there are requests.
struct FairShare: Sendable {
    private struct Account: Sendable {
        var client: String
        var tokens = 0
        var requests = 0
    }

    private var accounts: [Account] = []
    private var freeAccounts: [Int] = []
    private var places: [String: Int] = [:]

    /// Tokens that the model computed for a client.
    func tokens(_ account: Int) -> Int { accounts[account].tokens }

    var clientCount: Int { places.count }

    /// A client has one request more.
    ///
    /// - Returns: its account.
    mutating func join(_ client: String) -> Int {
        if let account = places[client] {
            accounts[account].requests += 1
            return account
        }
        var least: Int?
        for account in accounts where account.requests > 0 { least = min(least ?? .max, account.tokens) }
        let new = Account(client: client, tokens: least ?? 0, requests: 1)
        let place: Int
        if let free = freeAccounts.popLast() {
            accounts[free] = new
            place = free
        } else {
            accounts.append(new)
            place = accounts.count - 1
        }
        places[client] = place
        return place
    }

    /// A client has one request less.
    mutating func leave(_ account: Int) {
        accounts[account].requests -= 1
        guard accounts[account].requests == 0 else { return }
        places[accounts[account].client] = nil
        accounts[account].client = ""
        freeAccounts.append(account)
    }

    mutating func charge(_ account: Int, tokens: Int) {
        accounts[account].tokens += tokens
    }
}
