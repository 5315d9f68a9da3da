import MartletCPU
import TestSupport
import Testing

@testable import MartletQuantization

@Suite struct MatrixTests {
    private func random(_ rows: Int, _ columns: Int, seed: UInt64 = 3) -> Matrix {
        var random = TestGenerator(seed: seed)
        let matrix = Matrix(rows: rows, columns: columns)
        for index in 0..<rows * columns { matrix.base[index] = random.normal() }
        return matrix
    }

    private func naive(_ a: StridedMatrix, _ b: StridedMatrix) -> [Double] {
        (0..<a.rows).flatMap { row in
            (0..<b.columns).map { column in
                (0..<a.columns).reduce(0.0) {
                    $0 + Double(a.base[row * a.rowStride + $1 * a.columnStride])
                        * Double(b.base[$1 * b.rowStride + column * b.columnStride])
                }
            }
        }
    }

    /// Sizes on both sides of the panels of 16, the tiles of 8, the blocks of 32 and the depth of 256.
    @Test(arguments: [(1, 1, 1), (7, 15, 17), (33, 300, 40), (64, 256, 1030), (5, 513, 16)])
    func product(_ m: Int, _ k: Int, _ n: Int) throws {
        let workers = try MatrixProduct(threads: 2)
        let (a, b) = (random(m, k), random(n, k, seed: 5))
        let c = Matrix(rows: m, columns: n)
        c.floats.update(repeating: 1)
        workers.add(a.strided, b.strided.transposed, to: c.strided, scale: -2)
        // Sums of k products of normal variables, in float32.
        let tolerance = 1e-5 * Double(k).squareRoot() + 1e-5
        for (found, expected) in zip(c.floats, naive(a.strided, b.strided.transposed)) {
            #expect(abs(Double(found) - (1 - 2 * expected)) < tolerance * 4)
        }
    }

    @Test func gramMatrixNeedsOnlyTheLowerTriangle() throws {
        let workers = try MatrixProduct(threads: 2)
        let x = random(50, 200)
        let gram = Matrix(rows: 200, columns: 200)
        workers.add(x.strided.transposed, x.strided, to: gram.strided, lowerOnly: true)
        let expected = naive(x.strided.transposed, x.strided)
        for row in 0..<200 {
            for column in 0...row {
                #expect(abs(Double(gram.row(row)[column]) - expected[row * 200 + column]) < 1e-3)
            }
        }
    }

    @Test(arguments: [1, 63, 64, 200])
    func choleskyAndInverse(_ size: Int) throws {
        let workers = try MatrixProduct(threads: 2)
        let x = random(2 * size + 3, size)
        let gram = Matrix(rows: size, columns: size)
        workers.add(x.strided.transposed, x.strided, to: gram.strided)
        let l = gram.copy()
        #expect(Cholesky.factorize(l, on: workers))
        for (found, expected) in zip(naive(l.strided, l.strided.transposed), gram.floats) {
            #expect(abs(found - Double(expected)) < 1e-5 * Double(size + 10) * 4)
        }
        let inverse = l.copy()
        Cholesky.invert(inverse, on: workers)
        for (index, found) in naive(inverse.strided, l.strided).enumerated() {
            #expect(abs(found - (index / size == index % size ? 1 : 0)) < 1e-4)
        }
    }

    @Test func whatIsNotPositiveDefiniteIsRefused() throws {
        let workers = try MatrixProduct(threads: 1)
        let matrix = Matrix(rows: 100, columns: 100)
        for index in 0..<100 { matrix.row(index)[index] = index == 77 ? -1 : 1 }
        #expect(!Cholesky.factorize(matrix, on: workers))
        let nan = Matrix(rows: 2, columns: 2)
        nan.base[0] = .nan
        #expect(!Cholesky.factorize(nan, on: workers))
    }
}
