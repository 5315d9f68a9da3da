// Python's case conversions and character classes, by Unicode's properties.

extension String {
    func mapped(_ transform: (Unicode.Scalar) -> String) -> String {
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

    /// With the decimal digits of other scripts as those of ASCII, which is how Python reads numbers.
    var withASCIIDigits: String {
        guard !isASCII else { return self }
        return mapped { $0.isPythonDecimal ? String(Int($0.properties.numericValue ?? 0)) : String($0) }
    }

    var pythonSwapcased: String {
        mapped { scalar in
            if scalar.isUppercase { return scalar.lower }
            return scalar.isLowercase ? scalar.upper : String(scalar)
        }
    }

    /// Whether there are scalars and all of them are of the class.
    func allScalars(_ predicate: (Unicode.Scalar) -> Bool) -> Bool {
        !unicodeScalars.isEmpty && unicodeScalars.allSatisfy(predicate)
    }

    /// Python's `isupper`: some cased scalar, and none that is not upper case.
    var isPythonUppercase: Bool {
        var hasCased = false
        for scalar in unicodeScalars where scalar.isCased {
            guard scalar.isUppercase else { return false }
            hasCased = true
        }
        return hasCased
    }

    var isPythonLowercase: Bool {
        var hasCased = false
        for scalar in unicodeScalars where scalar.isCased {
            guard scalar.isLowercase else { return false }
            hasCased = true
        }
        return hasCased
    }

    var isPythonTitlecase: Bool {
        var hasCased = false
        var followsLetter = false
        for scalar in unicodeScalars {
            let isCased = scalar.isCased
            if isCased {
                let isCapital = scalar.isUppercase || scalar.properties.generalCategory == .titlecaseLetter
                guard isCapital != followsLetter else { return false }
                hasCased = true
            }
            followsLetter = isCased
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
    var isUppercase: Bool { isASCII ? isASCIIUppercase : properties.isUppercase }
    var isLowercase: Bool { isASCII ? isASCIILowercase : properties.isLowercase }
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
        if isASCII { return isASCIIUppercase || isASCIILowercase }
        return switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var isPythonDecimal: Bool { isASCII ? isDigit : properties.numericType == .decimal }
    var isPythonDigit: Bool { isPythonDecimal || !isASCII && properties.numericType == .digit }
    var isPythonNumeric: Bool { isASCII ? isDigit : properties.numericType != nil }
    var isPythonAlphanumeric: Bool { isLetter || isPythonNumeric }
}
