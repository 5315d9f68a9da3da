// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target: Swift 6 language mode (the tools version's default), imports that say what they are for, and
/// existentials that are spelled out.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martlet", targets: ["MartletCLI"]),
        .library(name: "Martlet", targets: ["Martlet"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.0.0"),
    ],
    targets: [
        // Level 0
        .target(name: "CKernels"),
        .target(name: "MartletGraph", swiftSettings: settings),
        .target(name: "MartletJSON", swiftSettings: settings),
        .target(name: "MartletJinja", swiftSettings: settings),
        .target(
            name: "CImageCodecs",
            // scripts/install-deps.sh installs them.
            linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("png"), .linkedLibrary("webp")]),
        .target(name: "MartletImages", dependencies: ["CImageCodecs"], swiftSettings: settings),
        .target(
            name: "MartletHub",
            dependencies: [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        // Level 1
        .target(name: "MartletCheckpoints", dependencies: ["MartletJSON"], swiftSettings: settings),
        .target(name: "MartletCPU", dependencies: ["MartletGraph", "CKernels"], swiftSettings: settings),
        .target(name: "MartletTokenizers", dependencies: ["MartletJinja", "MartletJSON"], swiftSettings: settings),
        // Level 2
        .target(
            name: "MartletModels", dependencies: ["MartletGraph", "MartletCheckpoints", "MartletImages"],
            swiftSettings: settings),
        .target(
            name: "MartletGrammar", dependencies: ["MartletJinja", "MartletTokenizers"], swiftSettings: settings),
        // Level 3
        .target(
            name: "Martlet",
            dependencies: [
                "MartletGraph", "MartletCheckpoints", "MartletJSON", "MartletJinja", "MartletCPU", "MartletTokenizers",
                "MartletGrammar", "MartletModels", "MartletImages", log,
            ],
            swiftSettings: settings),
        .target(
            name: "MartletQuantization",
            dependencies: ["MartletCheckpoints", "MartletCPU", "MartletGraph", "MartletModels"],
            swiftSettings: settings),
        // Level 4
        .target(
            name: "MartletServer",
            dependencies: [
                "Martlet", "MartletCheckpoints", "MartletGrammar", "MartletJinja", "MartletTokenizers", log,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "MartletCLI",
            dependencies: [
                "Martlet", "MartletServer", "MartletGraph", "MartletCheckpoints", "MartletTokenizers", "MartletJinja",
                "MartletImages", "MartletQuantization",
                log,
                "MartletHub",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: settings),
        // Tests
        .target(
            name: "TestSupport", dependencies: ["MartletCheckpoints"], path: "Tests/TestSupport",
            swiftSettings: settings),
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(name: "CKernelsTests", dependencies: ["CKernels", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "MartletGraphTests", dependencies: ["MartletGraph"], swiftSettings: settings),
        .testTarget(
            name: "MartletCheckpointsTests", dependencies: ["MartletCheckpoints", "TestSupport"],
            resources: [.copy("Fixtures")], swiftSettings: settings),
        .testTarget(name: "MartletHubTests", dependencies: ["MartletHub", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "MartletImagesTests", dependencies: ["MartletImages", "TestSupport"],
            resources: [.copy("Fixtures")], swiftSettings: settings),
        .testTarget(
            name: "MartletJinjaTests", dependencies: ["MartletJinja", "TestSupport"],
            resources: [.copy("Fixtures")], swiftSettings: settings),
        .testTarget(
            name: "MartletTokenizersTests",
            dependencies: ["MartletTokenizers", "MartletCheckpoints", "MartletJSON", "TestSupport"],
            resources: [.copy("Fixtures")], swiftSettings: settings),
        .testTarget(
            name: "MartletGrammarTests",
            dependencies: ["MartletGrammar", "MartletTokenizers", "MartletJinja", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "MartletCPUTests", dependencies: ["MartletCPU", "MartletGraph", "CKernels", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "MartletModelsTests",
            dependencies: ["MartletModels", "MartletCheckpoints", "MartletGraph", "MartletCPU", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "MartletQuantizationTests",
            dependencies: [
                "MartletQuantization", "MartletCheckpoints", "MartletCPU", "MartletGraph", "MartletModels",
                "TestSupport",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "MartletTests",
            dependencies: [
                "Martlet", "MartletGraph", "MartletCheckpoints", "MartletCPU", "MartletGrammar", "MartletModels",
                "TestSupport",
                "AllocationCounter",
            ],
            resources: [.copy("Fixtures")], swiftSettings: settings),
        .testTarget(
            name: "MartletServerTests",
            dependencies: [
                "MartletServer", "Martlet", "MartletJinja", "TestSupport", log,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: settings),
        .testTarget(
            name: "MartletCLITests",
            dependencies: [
                "MartletCLI", "MartletHub", "MartletCheckpoints", "MartletServer", "Martlet", "TestSupport", log,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: settings),
        // What `Fuzz/Makefile` runs under libFuzzer, replayed.
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "MartletCLI", "MartletServer", "Martlet", "MartletCheckpoints", "MartletGrammar", "MartletGraph",
                "MartletImages", "MartletJinja", "MartletJSON", "MartletTokenizers", "TestSupport",
            ], path: "Fuzz/Targets", swiftSettings: settings),
    ],
    cLanguageStandard: .c17
)
