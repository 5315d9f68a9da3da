// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Embed",
    dependencies: [
        // Outside of this repository: .package(path: "…/martlet")
        .package(name: "martlet", path: "../..")
    ],
    targets: [
        .executableTarget(name: "Embed", dependencies: [.product(name: "Martlet", package: "martlet")])
    ]
)
