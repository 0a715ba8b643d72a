"""Measurements of operators on a runtime that fuses functions and conversions with the products around them.

What a function costs is the difference of two whole runs: with it and without it between the same products. Products of matrices,
whose first run packs the weight, and conversions are timed by differences of chains; convolutions by the profiler of the runtime.
"""

import numpy as np
from costs_bench import Bench
from costs_fit import Cost
from costs_graphs import Graph, shape_of
from costs_shapes import IMAGES


class FusedBench(Bench):
    def __init__(self, runtime, wanted):
        self.runtime, self.wanted, self.rows = runtime, wanted, []
        # The profiler runs around the nodes, so its own time is not in theirs.
        self.floors, self.trivial, self.least = {False: 0.0, True: 0.0}, 0.0, 0.0
        self.quantize, self.dequantize = self.conversions()

    def method(self):
        return "Times of functions and of products of matrices are differences of whole runs."

    def work_of_matrices(self, shape, stack, rows, inner, columns):
        one = super().work_of_matrices(shape, stack, rows, inner, columns)
        if shape == "Activations":
            return one
        other = super().work_of_matrices(shape, stack, rows, columns, inner)
        return {part: (one[part] + other[part]) / 2 for part in one}

    def product_of_matrices(self, op, _, rows, inner, columns, int8):
        """Half the difference between two pairs of products and one."""

        def time(n_pairs):
            graph = Graph([rows, inner], int8)
            graph.shape = [rows, inner]
            x = graph.q("x")
            for lengths in [(inner, columns), (columns, inner)] * n_pairs:
                x = graph.q(graph.op(op, x, *graph.weight(lengths, 1, op == "Gemm")))
            return self.runtime.time(*graph.model(x))

        return (time(2) - time(1)) / 2

    def function(self, op, result="Integers", contexts=None, with_matmul=False, is_clipping=False, **row):
        """In int8 a function returns floats too: what follows quantizes them in the same kernel."""
        result = result if result in ["Moved", "Never"] else "Floats"
        with_matmul = with_matmul or contexts == ["alone"]
        super().function(op, result=result, with_matmul=with_matmul, is_clipping=is_clipping, **row)

    def alone(self, build, size, int8, _, with_matmul):
        """In float, the time between products in int8, without the conversion that is counted for every result in float that is
        quantized, and that is fused here. In int8, the time between products."""
        time = self.between(build, size, True, with_matmul, is_quantized=int8)
        return time if int8 else time - self.quantize.of({"node": 1, "output": int(np.prod(shape_of(build, size)))})

    def between(self, build, size, int8, with_matmul, is_quantized=True):
        """The time between two products."""
        shape = shape_of(build, size)

        def product(graph, x, shape):
            return graph.matmul(x, shape[-1], 8) if with_matmul else graph.pointwise(x, shape, 16)

        graph = Graph(size, int8, is_between=True)
        x = graph.q("x")
        graph.is_quantized = is_quantized
        x = build(graph, graph.pointwise(x, graph.shape), graph.shape)
        graph.is_quantized = True
        n_before = graph.n_products
        y = product(graph, x if is_quantized else graph.q(x), shape)
        base = Graph(size, int8)
        x = base.q("x")
        for _ in range(n_before):
            x = base.pointwise(x, base.shape)
        z = product(base, x, base.shape)
        time = self.runtime.time(*graph.model(y)) - self.runtime.time(*base.model(z))
        # The last products have operands of different shapes.
        return time if shape == base.shape else time - self.tail(graph, y) + self.tail(base, z)

    def tail(self, graph, y):
        """The time from the last product on."""
        nodes = self.nodes(graph, y)
        return sum(time for _, time in nodes[self.ends(nodes)[1] :])

    def layout(self, rank, int8):
        """Nothing: a conversion changes the layout too."""
        return Cost()

    def conversions(self):
        """The times of QuantizeLinear and DequantizeLinear between convolutions."""
        quantize, both = (np.array([self.changes(size, is_quantized) for size in IMAGES]) for is_quantized in [False, True])
        works = [{"node": 1, "output": int(np.prod(size))} for size in IMAGES]
        return [Cost(works, times) for times in [quantize, both - quantize]]

    def changes(self, size, is_quantized):
        """The time of both changes of arithmetic around a convolution in int8 between others in float; with `is_quantized` its result
        is quantized, and dequantized for the convolution in float."""

        def time(kinds):
            graph = Graph(size, False)
            x = "x"
            for kind in kinds:
                graph.int8 = kind == "i"
                x = graph.q(x)
                graph.is_quantized = is_quantized
                x = graph.pointwise(x, graph.shape)
                graph.is_quantized = True
            return self.runtime.time(*graph.model(x))

        alike = time("fff") - time("ff") + time("iii") - time("ii")
        return time("fififi") / 2 - time("fi") / 2 - alike
