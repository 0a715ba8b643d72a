"""Measurements of operators on a runtime whose profiler times each node of a model."""

import numpy as np
from costs_fit import Cost, rounded
from costs_graphs import Graph, shape_of
from costs_shapes import ALIKE, CONVOLUTIONS, IMAGES, choice

CONTEXTS = ["float", "float_alone", "int8", "int8_alone"]
N_SHAPES = 40


class Bench:
    """Measurements on a runtime."""

    def __init__(self, runtime, wanted):
        self.runtime, self.wanted, self.rows = runtime, wanted, []
        # The profiler's own time in products and in other nodes, and the time of a trivial node, from chains of small nodes.
        self.floors = {False: 0.0, True: 0.0}
        functions = [self.chained(lambda g, x: g.op("LeakyRelu", x, alpha=0.9), [n, 32, 32], False) for n in range(1, 21)]
        convolutions = [
            self.chained(lambda g, x: g.pointwise(x, g.shape), [n, size, size], int8)
            for n in [16, 32, 48]
            for size in [4, 7, 8, 10, 12]
            for int8 in [False, True]
        ]
        profiled, self.trivial = self.chained(lambda g, x: g.op("Neg", x), [1], False)
        # Rounded up, since the profiler counts microseconds.
        self.least = 1000 * np.ceil(profiled / 1000) + 600
        for is_product, pairs in enumerate([functions, convolutions]):
            self.floors[bool(is_product)] = float(np.mean([profiled - time for profiled, time in pairs]))

    def method(self):
        """What a table says of its measurement."""
        return f"The profiler's own time is subtracted: {self.floors[True]:.0f} ns in products, {self.floors[False]:.0f} in other nodes."

    def chain(self, build, size, int8, n_nodes):
        graph = Graph(size, int8)
        x = graph.q("x")
        for _ in range(n_nodes):
            x = build(graph, x)
        return graph, x

    def chained(self, build, size, int8):
        """The nanoseconds of a node in a chain: in the profile, and in runs without a profiler."""
        short, long = (self.runtime.time(*graph.model(x)) for graph, x in (self.chain(build, size, int8, n) for n in [10, 40]))
        nodes = self.nodes(*self.chain(build, size, int8, 40))
        return np.median([time for _, time in nodes]), (long - short) / 30

    def nodes(self, graph, *outputs):
        """The nodes and their times without the profiler's own; those of a trivial node, if they take no longer."""

        def without(name, time):
            if not any(self.floors.values()):
                return time
            return self.trivial if time <= self.least else max(time - self.floors[name in self.runtime.products], self.trivial)

        return [(name, without(name, time)) for name, time in self.runtime.nodes(*graph.model(*outputs))]

    def products(self, graph, *outputs):
        times = [time for name, time in self.nodes(graph, *outputs) if name in self.runtime.products]
        assert len(times) == max(1, graph.n_products), times
        return sum(times)

    def is_wanted(self, *names):
        return not self.wanted or any(name in self.wanted for name in names)

    def row(self, op, shape, costs, result):
        print(f"{op} {shape} {result}", *(f"{name}: {cost.rust()} {cost.error}" for name, cost in zip(CONTEXTS, costs)), sep="\n  ", flush=True)
        if op == "AveragePool" and not self.runtime.pools_by_convolution:
            self.rows.append(([op], "Depthwise", costs, result))
        elif op == "AveragePool":
            # Most averages become convolutions in int8.
            convolution = next((costs for ops, shape, costs, _ in self.rows if (ops, shape) == (["Conv"], "Depthwise")), costs)
            self.rows.append(([op], "Depthwise", costs[:2] + convolution[2:], result))
        self.rows.append(([op, *ALIKE.get(op, [])], shape, costs, result))

    # Products.

    def convolution(self, kind):
        works, times = [], [[], []]
        while len(works) < N_SHAPES:
            inputs, outputs, kernel, size, strides, groups = CONVOLUTIONS[kind]()
            taps = int(np.prod(kernel))
            positions = int(np.prod([-(-length // stride) for length, stride in zip(size, strides)]))
            lanes = outputs if outputs == groups else -(-outputs // groups // 16) * 16 * groups
            work = {
                "product": positions * taps * inputs // groups * lanes,
                "tap": positions * taps,
                "column": positions * taps * inputs,
                "group": positions * groups,
                "input": inputs * int(np.prod(size)),
                "output": outputs * positions,
                "weight": outputs * inputs // groups * taps,
            }
            if not 1e5 < work["product"] < 2e8 or max(work["input"], work["output"]) > 1 << 20:
                continue
            works.append({"node": 1, **work})
            for int8 in [False, True]:
                graph = Graph([inputs, *size], int8)
                times[int8].append(self.products(graph, graph.conv(graph.q("x"), inputs, outputs, kernel, strides, groups)))
        costs = [Cost(works, of) for of in times]
        layouts = [self.layout(len(kernel), int8) for int8 in [False, True]]
        result = self.result("Conv")
        self.row("Conv", kind, [costs[0], costs[0].plus(layouts[0]), costs[1], costs[1].plus(layouts[1])], result)

    def layout(self, rank, int8):
        """The time between a product of the other arithmetic and a convolution, without the conversion itself."""
        sizes, times = self.images(rank), []
        for size in sizes:
            graph = Graph(size, not int8)
            x = graph.pointwise(graph.q("x"), graph.shape)
            graph.int8 = int8
            nodes = self.nodes(graph, graph.pointwise(graph.q(x), graph.shape))
            first, last = self.ends(nodes)
            times.append(sum(time for name, time in nodes[first + 1 : last] if name not in ["QuantizeLinear", "DequantizeLinear"]))
        return Cost([{"node": 1, "input": int(np.prod(size))} for size in sizes], times)

    def images(self, rank):
        if rank == 1:
            return [(8, 256), (32, 100), (64, 256), (64, 1024), (128, 2048)]
        return IMAGES if rank == 2 else [(8, 8, 8, 8), (32, 8, 8, 8), (32, 16, 16, 16)]

    def result(self, op):
        return "Floats" if op in self.runtime.returns_floats else "Integers"

    def ends(self, nodes):
        """The first product and the last one."""
        found = [idx for idx, (name, _) in enumerate(nodes) if name in self.runtime.products]
        return found[0], found[-1]

    def matrices(self, op, shape="Any"):
        works, times = [], [[], []]
        while len(works) < N_SHAPES:
            stack, rows = 1, choice(1, 1, 4, 16, 49, 128, 256)
            inner, columns = choice(*[32, 64, 128, 256, 512, 1024, 2048]), choice(*[10, 32, 64, 128, 256, 512, 1024, 2048])
            if shape == "Activations":
                stack, rows, inner, columns = choice(1, 2, 4, 8), *(choice(16, 32, 64, 128) for _ in range(3))
            work = self.work_of_matrices(shape, stack, rows, inner, columns)
            if not 1e3 < work["product"] < 1e8:
                continue
            works.append({"node": 1, **work})
            for int8 in [False, True]:
                of_kind = self.product_of_activations if shape == "Activations" else self.product_of_matrices
                times[int8].append(of_kind(op, stack, rows, inner, columns, int8))
        float32, int8 = [Cost(works, of) for of in times]
        self.row(op, shape, [float32, float32, int8, int8], self.result(op))

    def work_of_matrices(self, _, stack, rows, inner, columns):
        work = {"product": stack * rows * inner * (-(-columns // 16) * 16), "input": stack * rows * inner}
        return work | {"output": stack * rows * columns, "weight": stack * inner * columns}

    def product_of_matrices(self, op, _, rows, inner, columns, int8):
        graph = Graph([rows, inner], int8)
        graph.shape = [rows, inner]
        return self.products(graph, graph.op(op, graph.q("x"), *graph.weight((inner, columns), 1, op == "Gemm")))

    def product_of_activations(self, op, stack, rows, inner, columns, int8):
        graph = Graph([stack, rows + columns, inner], int8)
        ends = [graph.ints(end) for end in [0, rows, rows + columns]]
        x, other = (graph.op("Slice", "x", *ends[at : at + 2], graph.ints(2)) for at in [0, 1])
        other = graph.op("Neg", graph.op("Transpose", other, perm=[0, 1, 3, 2]))
        return self.products(graph, graph.op(op, graph.q(x), graph.q(other)))

    # Functions, and operators that move numbers.

    def function(self, op, builds=(), shape="Any", windows=None, sizes=IMAGES, contexts=("alone", "between"), result="Integers", is_clipping=False, apart=None, with_matmul=False):
        found, least = {}, {}
        runs = [(build, size, window[0] ** 2) for build, window in zip(builds, windows or [(0, 0)]) for size in sizes]
        works = []
        for build, size, taps in runs:
            n_outputs = int(np.prod(shape_of(build, size)))
            work = {"node": 1, "output": n_outputs}
            works.append(work | ({"input": int(np.prod(size)), "column": n_outputs * taps} if op.endswith("Pool") else {}))
        for int8 in [False] if is_clipping or result == "Never" else [False, True]:
            for context in contexts:
                def time(build, size):
                    if context == "between":
                        return self.between(build, size, int8, with_matmul)
                    # A DequantizeLinear before an operator that moves numbers is moved after it.
                    return self.alone(build, size, int8, result != "Moved" or is_clipping, with_matmul)

                times = [time(build, size) - (time(apart, size) if apart else 0) for build, size, _ in runs]
                # What is fused is a small part of another time.
                found[context, int8] = Cost(works, np.array(times), least.get(int8, 0))
                least[int8] = np.array(times) / 2

        def cost(context, int8):
            return found.get((context, int8)) or found.get(("alone", int8)) or Cost()

        costs = [cost(context, int8) for int8 in [False, True] for context in ["between", "alone"]]
        self.row(op, shape, costs, result)

    def alone(self, build, size, int8, is_dequantized, _):
        """The time between functions, or after a DequantizeLinear."""
        graph = Graph(size, int8)
        x = graph.op("Neg", "x")
        y = build(graph, graph.dequantized(x) if is_dequantized else graph.q(x), graph.shape)
        nodes = self.nodes(graph, graph.op("Neg", y))
        return sum(time for name, time in nodes if name not in ["QuantizeLinear", "DequantizeLinear", "Neg"])

    def between(self, build, size, int8, with_matmul):
        """The time between a convolution and a product, with what is added to convolutions."""
        graph, shape = Graph(size, int8, is_between=True), shape_of(build, size)
        x = build(graph, graph.pointwise(graph.q("x"), graph.shape), graph.shape)
        n_before = graph.n_products
        y = graph.matmul(x, shape[-1], 8) if with_matmul else graph.pointwise(x, shape, 16)
        nodes = self.nodes(graph, y)
        first, last = self.ends(nodes)
        base = Graph(size, int8)
        x = base.q("x")
        for _ in range(n_before):
            x = base.pointwise(x, base.shape)
        return sum(time for _, time in nodes[first:last]) - self.products(base, x)

    def conversions(self):
        """The times of QuantizeLinear and DequantizeLinear of values that are cached."""
        sizes, times = [1 << power for power in range(10, 20)], {"QuantizeLinear": [], "DequantizeLinear": []}
        for size in sizes:
            graph = Graph([size], True)
            for name, time in self.nodes(graph, graph.q("x")):
                times[name].append(time)
        return [Cost([{"node": 1, "output": size} for size in sizes], of) for of in times.values()]

    def cache(self):
        """The elements up to which images are cached when their arithmetic changes, and the relative time of larger ones."""
        sizes, each = [(32, length, length) for length in [28, 40, 56, 80, 112, 160, 224, 320]], []
        for size in sizes:
            graph = Graph(size, False)
            x = graph.pointwise("x", graph.shape)
            graph.int8 = True
            nodes = self.nodes(graph, graph.pointwise(graph.q(x), graph.shape))
            first, last = self.ends(nodes)
            each.append(sum(time for _, time in nodes[first + 1 : last]) / np.prod(size))
        usual = np.median(each[1:4])
        print(*(f"{time:.3f}" for time in each))
        cached = max(int(np.prod(size)) for size, time in zip(sizes, each) if time < 1.5 * usual)
        return cached, max(1.0, rounded(each[-1] / usual))
