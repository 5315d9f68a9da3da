extension Image {
    /// The image resampled to another size: Pillow's `resize`, byte for byte.
    ///
    /// Rows first, then columns; what is between them is rounded to bytes.
    package func resized(width newWidth: Int, height newHeight: Int, _ filter: ResamplingFilter) -> Image {
        precondition(newWidth > 0 && newHeight > 0)
        let wide = newWidth == width ? self : resizedRows(to: newWidth, filter)
        return newHeight == height ? wide : wide.resizedColumns(to: newHeight, filter)
    }

    private func resizedRows(to newWidth: Int, _ filter: ResamplingFilter) -> Image {
        let axis = ResamplingWeights(from: width, to: newWidth, filter)
        return filled(newWidth, height) { source, result in
            for y in 0..<height {
                for (x, window) in axis.windows.enumerated() {
                    axis.combine(
                        window, source + (y * width + window.first) * 3, stride: 3,
                        into: result + (y * newWidth + x) * 3,
                        count: 3)
                }
            }
        }
    }

    private func resizedColumns(to newHeight: Int, _ filter: ResamplingFilter) -> Image {
        let axis = ResamplingWeights(from: height, to: newHeight, filter)
        let rowBytes = width * 3
        return filled(width, newHeight) { source, result in
            for (y, window) in axis.windows.enumerated() {
                axis.combine(
                    window, source + window.first * rowBytes, stride: rowBytes, into: result + y * rowBytes,
                    count: rowBytes)
            }
        }
    }

    private func filled(
        _ width: Int, _ height: Int, _ body: (UnsafePointer<UInt8>, UnsafeMutablePointer<UInt8>) -> Void
    ) -> Image {
        let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
            self.pixels.withUnsafeBufferPointer { source in
                // Neither is empty: images have pixels.
                body(source.baseAddress.unsafelyUnwrapped, buffer.baseAddress.unsafelyUnwrapped)
            }
            count = width * height * 3
        }
        return Image(width: width, height: height, pixels: pixels)
    }
}

extension ResamplingWeights {
    /// result[i] = Σⱼ source[i + stride · j] · weight[j], rounded and clamped to a byte.
    @inline(__always)
    fileprivate func combine(
        _ window: Window, _ source: UnsafePointer<UInt8>, stride: Int, into result: UnsafeMutablePointer<UInt8>,
        count: Int
    ) {
        weights.withUnsafeBufferPointer { weights in
            for i in 0..<count {
                var sum: Int32 = 1 << (Self.fractionBits - 1)
                for j in 0..<window.count {
                    sum &+= Int32(source[i &+ stride &* j]) &* weights[window.offset &+ j]
                }
                result[i] = UInt8(clamping: sum >> Self.fractionBits)
            }
        }
    }
}
