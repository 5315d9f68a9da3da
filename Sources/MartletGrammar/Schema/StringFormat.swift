/// What `format` says of a string, as regular expressions that are no wider than the formats: RFC 3339, 1123, 4291, 4122 …
enum StringFormat {
    static func expression(_ name: String) -> String? {
        let month31 = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
        let month30 = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
        // February 29 depends on the year.
        let date = "[1-9][0-9]{3}-(?:\(month31)|\(month30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
        let clock = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
        let time = "\(clock):[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-]\(clock))"
        // Two hyphens in a row are left to encodings of names (xn--…). Of 253 characters four labels have 247 at most here, and
        // eight short ones 239.
        let label = "[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}"
        let shortLabel = "[A-Za-z0-9](?:-?[A-Za-z0-9]){0,14}"
        let host = "(?:\(label)(?:\\.\(label)){0,3}|\(shortLabel)(?:\\.\(shortLabel)){4,7})"
        let octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
        let group = "[0-9A-Fa-f]{1,4}"
        switch name {
        case "date": return date
        case "time": return time
        case "date-time": return "\(date)T\(time)"
        case "duration":
            let clock = "T(?:[0-9]{1,6}H(?:[0-9]{1,6}M(?:[0-9]{1,6}S)?)?|[0-9]{1,6}M(?:[0-9]{1,6}S)?|[0-9]{1,6}S)"
            let days =
                "[0-9]{1,6}Y(?:[0-9]{1,6}M(?:[0-9]{1,6}D)?)?|[0-9]{1,6}M(?:[0-9]{1,6}D)?|[0-9]{1,6}D"
            return "P(?:(?:\(days))(?:\(clock))?|\(clock)|[0-9]{1,6}W)"
        case "email":
            // 63 characters, of 64.
            let atom = "[A-Za-z0-9_%+-]{1,31}"
            return "\(atom)(?:\\.\(atom))?@\(label)(?:\\.\(label)){0,2}\\.[A-Za-z]{2,16}"
        case "hostname": return host
        case "ipv4": return "(?:\(octet)\\.){3}\(octet)"
        case "ipv6":
            // All eight groups, or `::` for some.
            let shortened = (0...6).map { before in
                let left = before == 0 ? "" : "\(group)(?::\(group)){\(before - 1)}"
                let right = "(?:\(group)(?::\(group)){0,\(6 - before)})?"
                return "\(left)::\(right)"
            }
            return "(?:(?:\(group):){7}\(group)|\(shortened.joined(separator: "|")))"
        case "uuid": return "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
        case "uri":
            let segment = "[A-Za-z0-9._~!$&'()*+,;=:@-]"
            return "[a-z][a-z0-9+.-]{0,15}://\(host)(?::[0-9]{1,4})?(?:/\(segment){0,128}){0,16}"
                + "(?:\\?[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,128})?"
        default: return nil
        }
    }
}
