"""Measures the times of operators in float and in int8 on one thread, and writes the table of a runtime, in Rust.

    python costs.py RUNTIME FOLDER [OPERATOR...]

RUNTIME is a key of costs_profiles.RUNTIMES; the file in FOLDER is named after it and the processor's architecture. Every operator
runs on random shapes; the profiler of the runtime gives the times of its nodes, from which the time that the profiler itself needs
is subtracted. Each time in the table is a sum of parts per unit of work (crates/quant/src/placement/work.rs), fitted by
non-negative least squares of relative errors. With OPERATORs, only these are measured, and nothing is written.
"""

import pathlib
import platform
import subprocess
import sys

import costs_graphs as graphs
import numpy as np
from costs_graphs import RNG, Graph, plain, pool, shape_of, two
from costs_profiles import RUNTIMES

PARTS = ["node", "product", "tap", "column", "group", "input", "output", "weight"]
CONTEXTS = ["float", "float_alone", "int8", "int8_alone"]
# Errors of less time than this, in nanoseconds, have no meaning.
NOISE = 1500
N_SHAPES = 40


class Cost:
    """A time as a sum of parts, fitted to the times of works. Errors are relative to `references`, or to the times."""

    def __init__(self, works=(), times=(), references=0):
        self.parts, self.error = dict.fromkeys(PARTS, 0.0), ""
        if not len(works):
            return
        times = np.maximum(times, 0)
        weights = 1 / np.maximum(np.maximum(times, references), NOISE)
        rows = np.array([[work.get(part, 0) for part in PARTS] for work in works], float)
        for part in range(1, len(PARTS)):
            if any((rows[:, part] == rows[:, earlier]).all() for earlier in range(part)):
                rows[:, part] = 0
        sizes = np.maximum(rows.max(0), 1)
        found = non_negative(rows / sizes * weights[:, None], times * weights) / sizes
        found[found * sizes < 1] = 0
        self.parts = {part: rounded(value) for part, value in zip(PARTS, found)}
        low, middle, high = np.percentile((rows @ found - times) * weights * 100, [5, 50, 95])
        self.error = f"{middle:+.0f} % ({low:+.0f} to {high:+.0f})"

    def plus(self, other):
        both = Cost()
        both.parts = {part: rounded(self.parts[part] + other.parts[part]) for part in PARTS}
        return both

    def rust(self):
        parts = (np.format_float_positional(value, trim="0") for value in self.parts.values())
        return f"Cost::new([{', '.join(parts)}])" if any(self.parts.values()) else "Cost::FREE"


def rounded(value):
    return float(f"{value:.3g}")


def non_negative(rows, times):
    """The non-negative least squares solution, by coordinate descent."""
    gram, right = rows.T @ rows, rows.T @ times
    found = np.zeros(rows.shape[1])
    for _ in range(20000):
        for part in np.flatnonzero(np.diag(gram)):
            rest = right[part] - gram[part] @ found + gram[part, part] * found[part]
            found[part] = max(0.0, rest / gram[part, part])
    return found


# Random shapes of convolutions: input and output channels, kernel, size, strides, groups.


def choice(*values):
    return int(RNG.choice(values))


def square(*lengths):
    return [choice(*lengths)] * 2


FEW, CHANNELS = [1, 2, 3], [4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
SIZES = [4, 7, 8, 14, 28, 56, 112]


def dense(kernel, size, stride=1, inputs=CHANNELS):
    return choice(*inputs), choice(*CHANNELS[1:]), kernel, size, [stride] * len(kernel), 1


def separate(kernel, size, stride=1):
    n = choice(8, 16, 24, 32, 64, 96, 128, 256, 512)
    return n, n, kernel, size, [stride] * len(kernel), n


def grouped():
    groups = choice(2, 4, 8, 32)
    n = groups * choice(4, 8, 16, 32, 64)
    return n, n, square(1, 3, 3), square(7, 14, 28, 56), [choice(1, 1, 2)] * 2, groups


CONVOLUTIONS = {
    "FewChannels": lambda: dense(square(3, 3, 3, 5, 7), square(*SIZES[3:]), choice(1, 1, 2), FEW),
    "Pointwise": lambda: dense([1, 1], square(*SIZES), choice(1, 1, 1, 2)),
    "Window": lambda: dense(square(3, 3, 5, 7), square(*SIZES), choice(1, 1, 1, 2)),
    "Column": lambda: dense([choice(3, 5, 9, 16, 64), 1], [choice(32, 64, 128, 256, 512), 1], 1, FEW[:1] + CHANNELS),
    "Sequence": lambda: dense([choice(1, 3, 5, 9, 32)], [choice(4, 16, 50, 100, 256, 1024)], choice(1, 1, 2), FEW[:1] + CHANNELS),
    "Volume": lambda: dense([choice(1, 3)] * 3, [choice(4, 8, 16, 24)] * 3, 1, [1, 3, 8, 16, 32, 64, 128]),
    "Depthwise": lambda: separate(square(3, 3, 5), square(*SIZES[1:]), choice(1, 1, 2)),
    "DepthwiseSequence": lambda: separate([choice(3, 5, 9, 31)], [choice(16, 50, 100, 256, 1024)]),
    "Grouped": grouped,
}

IMAGES = [(16, 8, 8), (16, 28, 28), (32, 14, 14), (32, 28, 28), (64, 28, 28), (32, 56, 56), (16, 112, 112)]
MATRICES = [(16, 64), (49, 128), (128, 128), (256, 64), (64, 512)]
STACKS = [(16, 64), (64, 64), (128, 128), (4, 1000), (2, 64, 64), (4, 49, 49)]
WINDOWS = [(2, 2), (3, 2), (3, 1), (5, 1), (7, 7)]

# The rows of functions and of operators that move numbers. `apart` is the part of what is built that is not measured; the product
# after the operator is a convolution or, `with_matmul`, a product of matrices.
FUNCTIONS = [
    dict(op="Add", builds=[two("Add")]),
    dict(op="Add", shape="Constant", builds=[graphs.shifted], result="Never"),
    dict(op="Mul", builds=[two("Mul")]),
    dict(op="Mul", shape="Gate", builds=[graphs.gated]),
    dict(op="Mul", shape="PerChannel", builds=[graphs.weighed], apart=graphs.numbers_of_channels),
    dict(op="Sigmoid", builds=[plain("Sigmoid")]),
    dict(op="Sigmoid", shape="Gate"),
    dict(op="LeakyRelu", builds=[plain("LeakyRelu", alpha=0.1)]),
    dict(op="HardSigmoid", builds=[plain("HardSigmoid")], result="Never"),
    dict(op="HardSwish", builds=[plain("HardSwish")], result="Never"),
    dict(op="Tanh", builds=[plain("Tanh")], result="Never"),
    dict(op="Relu", builds=[plain("Relu")], result="Moved", is_clipping=True),
    dict(op="Clip", builds=[graphs.clipped], result="Moved", is_clipping=True),
    dict(op="Softmax", builds=[plain("Softmax")], sizes=STACKS, contexts=["alone"]),
    dict(op="AveragePool", shape="Window", builds=[pool("AveragePool", *window) for window in WINDOWS], windows=WINDOWS),
    dict(op="GlobalAveragePool", builds=[plain("GlobalAveragePool")]),
    dict(op="MaxPool", builds=[pool("MaxPool", *window) for window in WINDOWS], windows=WINDOWS, result="Moved"),
    dict(op="Concat", builds=[two("Concat", axis=1)], result="Moved"),
    dict(op="Resize", builds=[graphs.resized], result="Moved"),
    dict(op="Transpose", builds=[plain("Transpose", perm=[0, 2, 1])], sizes=MATRICES, contexts=["alone"], result="Moved"),
    dict(op="Transpose", shape="ChannelsLast", builds=[plain("Transpose", perm=[0, 2, 3, 1])], with_matmul=True, result="Moved"),
    dict(op="Transpose", shape="Rows", builds=[plain("Transpose", perm=[0, 2, 1, 3])], with_matmul=True, result="Moved"),
    dict(op="Transpose", shape="ChannelsMoved", builds=[plain("Transpose", perm=[2, 0, 3, 1])], with_matmul=True, result="Moved"),
    dict(op="Transpose", shape="Shuffle", builds=[plain("Transpose", perm=[1, 3, 0, 2])], with_matmul=True, result="Moved"),
    dict(op="Split", builds=[graphs.split], result="Moved"),
    dict(op="Slice", builds=[graphs.halved], with_matmul=True, result="Moved"),
    dict(op="Gather", builds=[graphs.gathered], with_matmul=True, result="Moved"),
    dict(op="Expand", builds=[graphs.expanded], contexts=["alone"], result="Moved"),
    dict(op="Reshape", builds=[graphs.flattened], with_matmul=True, result="Moved"),
]
# Operators that take the time of another.
ALIKE = {"Reshape": ["Flatten", "Squeeze", "Unsqueeze"]}


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
        return sum(time for name, time in self.nodes(graph, *outputs) if name in self.runtime.products)

    def is_wanted(self, *names):
        return not self.wanted or any(name in self.wanted for name in names)

    def row(self, op, shape, costs, result):
        print(f"{op} {shape} {result}", *(f"{name}: {cost.rust()} {cost.error}" for name, cost in zip(CONTEXTS, costs)), sep="\n  ", flush=True)
        if op == "AveragePool":
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
        sizes, times = [(8, 256), (32, 100), (64, 256), (64, 1024), (128, 2048)], []
        if rank > 1:
            sizes = IMAGES if rank == 2 else [(8, 8, 8, 8), (32, 8, 8, 8), (32, 16, 16, 16)]
        for size in sizes:
            graph = Graph(size, not int8)
            x = graph.pointwise(graph.q("x"), graph.shape)
            graph.int8 = int8
            nodes = self.nodes(graph, graph.pointwise(graph.q(x), graph.shape))
            first, last = self.ends(nodes)
            times.append(sum(time for name, time in nodes[first + 1 : last] if name not in ["QuantizeLinear", "DequantizeLinear"]))
        return Cost([{"node": 1, "input": int(np.prod(size))} for size in sizes], times)

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
            lanes = -(-columns // 16) * 16
            work = {"product": stack * rows * inner * lanes, "input": stack * rows * inner}
            work |= {"output": stack * rows * columns, "weight": stack * inner * columns}
            if not 1e3 < work["product"] < 1e8:
                continue
            works.append({"node": 1, **work})
            for int8 in [False, True]:
                if shape == "Activations":
                    graph = Graph([stack, rows + columns, inner], int8)
                    ends = [graph.ints(end) for end in [0, rows, rows + columns]]
                    x, other = (graph.op("Slice", "x", *ends[at : at + 2], graph.ints(2)) for at in [0, 1])
                    other = graph.op("Neg", graph.op("Transpose", other, perm=[0, 1, 3, 2]))
                    y = graph.op("MatMul", graph.q(x), graph.q(other))
                else:
                    graph = Graph([rows, inner], int8)
                    graph.shape = [rows, inner]
                    y = graph.op(op, graph.q("x"), *graph.weight((inner, columns), 1, op == "Gemm"))
                times[int8].append(self.products(graph, y))
        float32, int8 = [Cost(works, of) for of in times]
        self.row(op, shape, [float32, float32, int8, int8], self.result(op))

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
                    return self.alone(build, size, int8, result != "Moved" or is_clipping)

                times = [time(build, size) - (time(apart, size) if apart else 0) for build, size, _ in runs]
                # What is fused is a small part of another time.
                found[context, int8] = Cost(works, np.array(times), least.get(int8, 0))
                least[int8] = np.array(times) / 2

        def cost(context, int8):
            return found.get((context, int8)) or found.get(("alone", int8)) or Cost()

        costs = [cost(context, int8) for int8 in [False, True] for context in ["between", "alone"]]
        self.row(op, shape, costs, result)

    def alone(self, build, size, int8, is_dequantized):
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


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
        if line.startswith("flags"):
            found = [flag for flag in ["avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"] if flag in line.split()]
    return f"{name} ({', '.join(found)})"


def table(bench, architecture):
    """The Rust file."""
    runtime, (quantize, dequantize), (cached, uncached) = bench.runtime, bench.conversions(), bench.cache()
    name = f"{runtime.name.upper().replace(' ', '')}_{architecture.upper()}"
    lines = [
        f"//! The times of {runtime.name} {runtime.version} on {architecture}, one thread of an {processor()}.",
        "//!",
        "//! Made by `cargo xtask bench --costs`; do not edit. A comment is the median error of a fit, with the 5th and 95th",
        f"//! percentiles. The profiler's own time is subtracted: {bench.floors[True]:.0f} ns in products, {bench.floors[False]:.0f} in other nodes. Parts are",
        f"//! per {', '.join(PARTS)}.",
        "",
        "use super::costs::{Cost, OperatorCosts, Result8, RuntimeCosts};",
        "use super::work::Shape;",
        "",
        f"pub(crate) static {name}: RuntimeCosts = RuntimeCosts {{ operators: &[",
    ]
    for ops, shape, costs, result in bench.rows:
        ops = ", ".join(f'"{op}"' for op in ops)
        lines.append(f"OperatorCosts {{ ops: &[{ops}], shape: Shape::{shape},")
        for context, cost in zip(CONTEXTS, costs):
            lines.append(f"{context}: {cost.rust()}," + (f" // {cost.error}" if cost.error else ""))
        lines.append(f"result: Result8::{result} }},")
    lines += ["],", f"quantize: {quantize.rust()}, // {quantize.error}", f"dequantize: {dequantize.rust()}, // {dequantize.error}"]
    lines += [f"cached: {cached:_},", f"uncached: {uncached!r},", "};", ""]
    return "\n".join(lines)


def main(name, folder, *wanted):
    bench = Bench(RUNTIMES[name](), wanted)
    print(bench.floors, bench.trivial, bench.least)
    for kind in CONVOLUTIONS:
        if bench.is_wanted("Conv", kind):
            bench.convolution(kind)
    for op, shape in [("Gemm", "Any"), ("MatMul", "Any"), ("MatMul", "Activations")]:
        if bench.is_wanted(op):
            bench.matrices(op, shape)
    for row in FUNCTIONS:
        if bench.is_wanted(row["op"]):
            bench.function(**row)
    if not wanted:
        architecture = {"x86_64": "x86", "AMD64": "x86", "aarch64": "arm"}.get(platform.machine(), platform.machine())
        path = pathlib.Path(folder) / f"{name}_{architecture}.rs"
        path.write_text(table(bench, architecture))
        subprocess.run(["rustfmt", "--edition", "2024", path], check=True)


main(*sys.argv[1:])
