#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// e^x in double precision.
func exponential(_ x: Double) -> Double { exp(x) }
