// Python's case conversions and character classes, by Unicode's properties.

extension String {
    private func mapped(_ transform: (Unicode.Scalar) -> String) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(utf8.count)
        for scalar in unicodeScalars { result += transform(scalar).utf8 }
        return String(decoding: result, as: UTF8.self)
    }

    var isASCII: Bool { utf8.allSatisfy { $0 < 0x80 } }

    var pythonUppercased: String {
        isASCII ? uppercased() : mapped { $0.upper }
    }

    var pythonLowercased: String {
        guard !isASCII else { return lowercased() }
        guard unicodeScalars.contains("Σ") else { return mapped { $0.lower } }
        // A capital sigma at the end of a word becomes "ς" (Unicode's Final_Sigma).
        let scalars = Array(unicodeScalars)
        var result = ""
        for (index, scalar) in scalars.enumerated() {
            let isFinal =
                scalar == "Σ"
                && scalars[..<index].last(where: { !$0.properties.isCaseIgnorable })?.properties.isCased == true
                && scalars[(index + 1)...].first(where: { !$0.properties.isCaseIgnorable })?.properties.isCased != true
            result += isFinal ? "ς" : scalar.properties.lowercaseMapping
        }
        return result
    }

    /// Python's `capitalize`: the first scalar in title case, the rest in lower case.
    var pythonCapitalized: String {
        guard let first = unicodeScalars.first else { return "" }
        return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).pythonLowercased
    }

    /// Python's `title`: every letter that follows none is in title case.
    var pythonTitlecased: String {
        var followsLetter = false
        return mapped { scalar in
            defer { followsLetter = scalar.isCased }
            return followsLetter ? scalar.lower : scalar.title
        }
    }

    var pythonSwapcased: String {
        mapped { scalar in
            if scalar.properties.isUppercase { return scalar.properties.lowercaseMapping }
            return scalar.properties.isLowercase ? scalar.properties.uppercaseMapping : String(scalar)
        }
    }

    /// Whether there are scalars and all of them are of the class.
    func allScalars(_ predicate: (Unicode.Scalar) -> Bool) -> Bool {
        !unicodeScalars.isEmpty && unicodeScalars.allSatisfy(predicate)
    }

    /// Python's `isupper`: some cased scalar, and none that is not upper case.
    var isPythonUppercase: Bool {
        var hasCased = false
        for scalar in unicodeScalars where scalar.properties.isCased {
            guard scalar.properties.isUppercase else { return false }
            hasCased = true
        }
        return hasCased
    }

    var isPythonLowercase: Bool {
        var hasCased = false
        for scalar in unicodeScalars where scalar.properties.isCased {
            guard scalar.properties.isLowercase else { return false }
            hasCased = true
        }
        return hasCased
    }

    var isPythonTitlecase: Bool {
        var hasCased = false
        var followsLetter = false
        for scalar in unicodeScalars {
            let properties = scalar.properties
            if properties.isCased {
                let isCapital = properties.isUppercase || properties.generalCategory == .titlecaseLetter
                guard isCapital != followsLetter else { return false }
                hasCased = true
            }
            followsLetter = properties.isCased
        }
        return hasCased
    }
}

extension Unicode.Scalar {
    private var isASCIIUppercase: Bool { (0x41...0x5A).contains(value) }
    private var isASCIILowercase: Bool { (0x61...0x7A).contains(value) }
    /// The other case of an ASCII letter.
    private var switchedASCII: String { String(Unicode.Scalar(UInt8(truncatingIfNeeded: value) ^ 0x20)) }

    // Unicode's tables are slow to consult, and most scalars are ASCII.
    var isCased: Bool { isASCII ? isASCIIUppercase || isASCIILowercase : properties.isCased }
    var upper: String {
        guard isASCII else { return properties.uppercaseMapping }
        return isASCIILowercase ? switchedASCII : String(self)
    }
    var lower: String {
        guard isASCII else { return properties.lowercaseMapping }
        return isASCIIUppercase ? switchedASCII : String(self)
    }
    var title: String { isASCII ? upper : properties.titlecaseMapping }

    var isLetter: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var isPythonDecimal: Bool { properties.numericType == .decimal }
    var isPythonDigit: Bool { properties.numericType == .decimal || properties.numericType == .digit }
    var isPythonNumeric: Bool { properties.numericType != nil }
    var isPythonAlphanumeric: Bool { isLetter || isPythonNumeric }
}
