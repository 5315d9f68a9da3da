/// What one structure may cost. Structures come from requests, so they are hostile.
package struct GrammarLimits: Sendable {
    /// Bytes of the source.
    package var sourceBytes = 1 << 20
    /// Nodes of the automaton. A schema of a hundred properties has about 5,000.
    package var nodes = 200_000
    /// Ways on from a node to others, on average.
    package var waysPerNode = 8
    /// Ranges of characters that sets in patterns have, and that are made where they are combined.
    package var ranges = 8 << 20
    /// States of a deterministic automaton, where patterns are intersected.
    package var patternStates = 4_000
    /// Alternatives that `anyOf` and `oneOf` multiply to.
    package var alternatives = 4_096
    /// Nested subschemas or groups: the compilers descend recursively.
    package var depth = 128
    /// Time to compile.
    package var time: Duration = .milliseconds(700)
    /// Places of the automaton that a text may be at, at the same time.
    package var configurations = 4_096
    /// Places visited for one mask, or for one token.
    package var work = 4_000_000
    /// Memory of what is known of an automaton's states, in bytes; beyond that answers begin another collection.
    package var cacheBytes = 24 << 20
    /// Memory that one mask may add to it.
    package var maskBytes = 32 << 20

    package init() {}
}
