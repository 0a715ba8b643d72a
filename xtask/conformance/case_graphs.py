"""Small graphs that optimizers of runtimes change, for cases.py.

Each case is a function that returns a Case: the model, its data, and which layers are configured in another way than by default.
The weights are random, from a generator of a fixed seed.
"""

import dataclasses

import numpy as np
from onnx import TensorProto, helper, numpy_helper

N_SAMPLES = 16


@dataclasses.dataclass
class Case:
    """A model with its data. `settings` holds keys of layers in the configuration, by layer."""

    model: object
    data: dict
    settings: dict = dataclasses.field(default_factory=dict)
    batch: int = 8


class Graph:
    """A graph under construction: an input `x`, nodes in a row, and the output `y`."""

    def __init__(self, shape, opset=17, seed=1):
        self.random, self.shape, self.opset = np.random.default_rng(seed), shape, opset
        self.nodes, self.tensors, self.domains, self.last = [], {}, [], "x"

    def weight(self, name, *shape, axis=-1, fan=None):
        """A random constant whose products keep their magnitude; `axis` counts output channels."""
        # Channels of differing ranges, which one scale for all does not serve.
        reach = 10.0 ** self.random.uniform(-0.8, 0.8, shape[axis])
        channels = np.moveaxis(np.ones(shape), axis, -1) * reach
        values = self.random.standard_normal(shape) / np.sqrt(fan or shape[0]) * np.moveaxis(channels, -1, axis)
        return self.constant(name, values.astype(np.float32))

    def constant(self, name, values):
        self.tensors[name] = np.asarray(values)
        return name

    def add(self, op, *inputs, name=None, after=None, domain="", outputs=None, **attrs):
        """A node that reads the last value, or `after`, and other inputs; its result is the last value from then on."""
        name = name or f"{op.lower()}{len(self.nodes)}"
        outputs = outputs or [f"{name}.y"]
        node = helper.make_node(op, [after or self.last, *inputs], outputs, name=name, domain=domain, **attrs)
        self.nodes.append(node)
        self.last = outputs[0]
        if domain and domain not in self.domains:
            self.domains.append(domain)
        return self.last

    def conv(self, n_in, n_out, *kernel, name, op="Conv", bias=True, group=1, **attrs):
        """A convolution with a random weight."""
        shape = (n_in, n_out // group, *kernel) if op == "ConvTranspose" else (n_out, n_in // group, *kernel)
        fan = n_in // group * int(np.prod(kernel))
        axis = 1 if op == "ConvTranspose" else 0
        operands = [self.weight(f"{name}.w", *shape, axis=axis, fan=fan)] + ([self.weight(f"{name}.b", n_out)] if bias else [])
        return self.add(op, *operands, name=name, group=group, **attrs)

    def case(self, shape, settings=None, batch=8):
        """The case, with an output of that shape. A model of a fixed batch is fed as many samples at a time."""
        self.nodes[-1].output[0] = "y"
        constants = [numpy_helper.from_array(values, name) for name, values in self.tensors.items()]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(domain, 1) for domain in self.domains)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        batch = self.shape[0] if isinstance(self.shape[0], int) else batch
        x = self.random.standard_normal([N_SAMPLES, *self.shape[1:]]).astype(np.float32)
        return Case(model, {"x": x}, settings or {}, batch)


def sixteen_bits():
    return {"activation_quant_params": {"act_algo": "min_max", "num_bits": 16}}


def transposed_convolution(n_dims, group, bias):
    """ConvTranspose between convolutions: no integer kernel, float weights between integers."""
    g = Graph(["N", 8, *[6] * n_dims])
    g.conv(8, 16, *[1] * n_dims, name="before")
    g.add("Relu")
    kernel = [3] * n_dims
    g.conv(16, 16, *kernel, name="up", op="ConvTranspose", group=group, bias=bias, strides=[2] * n_dims)
    g.add("Relu")
    g.conv(16, 8, *[1] * n_dims, name="after")
    settings = {"up": {"weight_quant_params": {"channel_wise": False}}} if group > 1 else {}
    return g.case(["N", 8, *[13] * n_dims], settings)


def mixed_bits(wide, op):
    """Layers of 8 and of 16 bits in a row."""
    g = Graph(["N", 16, 8, 8] if op == "Conv" else ["N", 16], opset=21)
    for name in "abc":
        if op == "Conv":
            g.conv(16, 16, 3, 3, name=name, pads=[1] * 4, bias=name != "b")
        elif op == "Gemm":
            g.add("Gemm", *[g.weight(f"{name}.w", 16, 16), *([g.weight(f"{name}.b", 16)] if name != "b" else [])], name=name)
        else:
            g.add("MatMul", g.weight(f"{name}.w", 16, 16), name=name)
            g.add("Add", g.weight(f"{name}.b", 16))
        if name != "c":
            g.add("Relu")
    return g.case(g.shape, {name: sixteen_bits() for name in wide})


def feed_forward(opset, shape):
    """Products of stacks of matrices with an added bias; runtimes fuse the two."""
    g = Graph(shape, opset)
    g.add("MatMul", g.weight("w1", 64, 128), name="mm1")
    g.add("Add", g.weight("b1", 128))
    g.add("Relu")
    g.add("MatMul", g.weight("w2", 128, 8), name="mm2")
    g.add("Add", g.weight("b2", 8))
    return g.case([*shape[:-1], 8])


def attention(opset, batch):
    """One head of attention, with moved activations before products."""
    g = Graph([batch, 8, 16], opset)
    shape = g.constant("heads", np.array([-1, 8, 2, 8], np.int64))
    heads = {}
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        g.add("MatMul", g.weight(f"{name}.w", 16, 16), name=name, after="x")
        g.add("Add", g.weight(f"{name}.b", 16))
        g.add("Reshape", shape)
        heads[name] = g.add("Transpose", perm=perm)
    g.add("MatMul", heads["k"], after=heads["q"], name="scores")
    g.add("Softmax", axis=-1)
    g.add("MatMul", heads["v"], name="mixed")
    g.add("Transpose", perm=[0, 2, 1, 3])
    g.add("Reshape", g.constant("flat", np.array([-1, 8, 16], np.int64)))
    g.add("MatMul", g.weight("o.w", 16, 16), name="o")
    return g.case([batch, 8, 16])


def moved(opset, last):
    """Integers that are moved, and then used as floats."""
    g = Graph([2, 8, 8, 8], opset)
    g.conv(8, 8, 3, 3, name="a", pads=[1] * 4)
    g.add("Relu")
    g.add("MaxPool", name="pool", kernel_shape=[2, 2], strides=[2, 2])
    g.add("Transpose", perm=[0, 2, 3, 1])
    g.add("Reshape", g.constant("flat", np.array([2, 16, 8], np.int64)))
    if last == "float":
        g.add("Tanh")
        g.add("MatMul", g.weight("w", 8, 8), name="b")
    return g.case([2, 16, 8])


def transposed(opset):
    """A product between transpositions that cancel."""
    g = Graph([1, 8, 4, 4], opset)
    g.conv(8, 8, 3, 3, name="a", pads=[1] * 4)
    g.add("Transpose", perm=[0, 2, 3, 1])
    g.add("MatMul", g.weight("w", 8, 8), name="b")
    g.add("Add", g.weight("wb", 8))
    g.add("Transpose", perm=[0, 3, 1, 2])
    g.conv(8, 8, 3, 3, name="c", pads=[1] * 4)
    return g.case([1, 8, 4, 4])


def float_between(settings, op):
    """A layer in float, or of which only the weights are integers, after integers that are pooled."""
    g = Graph(["N", 8, 8, 8])
    g.conv(8, 16, 3, 3, name="a", pads=[1] * 4)
    g.add("Relu")
    g.add("MaxPool", name="pool", kernel_shape=[2, 2], strides=[2, 2])
    g.conv(16, 16, 3, 3, name="b", pads=[1] * 4, op=op)
    g.add("Relu")
    g.conv(16, 8, 1, 1, name="c")
    return g.case(["N", 8, 4, 4], {"b": settings})


def branches():
    """An If whose branches share weights and an activation."""
    def branch(end, act):
        nodes = [
            helper.make_node("MatMul", ["h", "W1"], [f"{end}0"], f"mm_{end}"),
            helper.make_node(act, [f"{end}0"], [f"{end}1"], f"act_{end}"),
            helper.make_node("MatMul", [f"{end}1", "W2"], [end], f"mm2_{end}"),
        ]
        return helper.make_graph(nodes, end, [], [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["N", 4, 32])])

    g = Graph(["N", 4, 32])
    g.weight("W1", 32, 256)
    g.weight("W2", 256, 32)
    g.add("MatMul", g.weight("W0", 32, 32), name="mm0")
    g.nodes.append(helper.make_node("Relu", [g.last], ["h"], "relu"))
    g.add("ReduceSum", after="x", keepdims=0)
    condition = g.add("Greater", g.constant("zero", np.float32(0)))
    ends = {"then_branch": branch("t", "Relu"), "else_branch": branch("e", "Tanh")}
    g.nodes.append(helper.make_node("If", [condition], ["y"], "if", **ends))
    return g.case(["N", 4, 32], batch=1)


def pooled_head(pool, product, opset=17):
    """Pooled features, and a product."""
    g = Graph(["N", 8, 6, 6], opset)
    g.conv(8, 16, 3, 3, name="a")
    g.add("Relu")
    axes = {"axes": [2, 3]} if opset < 18 else {}
    operands = [] if opset < 18 else [g.constant("axes", np.array([2, 3], np.int64))]
    if pool == "GlobalAveragePool":
        g.add("GlobalAveragePool", name="pool")
        g.add("Flatten")
    else:
        g.add("ReduceMean", *operands, name="pool", keepdims=int(pool == "keep"), **axes)
        if pool == "keep":
            g.add("Reshape", g.constant("flat", np.array([-1, 16], np.int64)))
    if product == "Gemm":
        g.add("Gemm", g.weight("w", 4, 16, axis=0, fan=16), g.weight("b", 4), name="head", transB=1)
    else:
        g.add("MatMul", g.weight("w", 16, 4), name="head")
        g.add("Add", g.weight("b", 4))
    return g.case(["N", 4])


def smoothed_head():
    """Features of differing ranges before a mean over tokens, which smoothing changes."""
    g = Graph(["N", 5, 32])
    reach = (10.0 ** g.random.uniform(-1, 1, 32)).astype(np.float32)
    g.add("MatMul", g.weight("w1", 32, 32), name="fc1")
    g.add("Mul", g.constant("reach", reach))
    g.add("ReduceMean", axes=[1], keepdims=0)
    g.add("Gemm", g.constant("w2", (g.random.standard_normal((32, 8)) / reach[:, None]).astype(np.float32)), name="head")
    return g.case(["N", 8])


def average_pool(counts, activation):
    """A padded AveragePool; its zero point is not 0 after LeakyRelu."""
    g = Graph(["N", 8, 8, 8])
    g.conv(8, 16, 3, 3, name="a", pads=[1] * 4)
    g.add(activation)
    g.add("AveragePool", name="pool", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2], count_include_pad=counts)
    g.conv(16, 8, 3, 3, name="b", pads=[1] * 4)
    return g.case(["N", 8, 4, 4])


def contrib():
    """Operators of ONNX Runtime beside ONNX's."""
    g = Graph(["N", 16])
    g.add("FusedMatMul", g.weight("w1", 16, 32), name="fmm", domain="com.microsoft", alpha=0.5)
    g.add("Gelu", domain="com.microsoft")
    g.add("MatMul", g.weight("w2", 32, 8), name="mm")
    return g.case(["N", 8])


def convolutions(n_dims, group, bias=True):
    """Convolutions in a row."""
    g = Graph(["N", 8, *[6] * n_dims])
    g.conv(8, 16, *[3] * n_dims, name="a", group=group, bias=bias)
    g.add("Relu")
    g.conv(16, 16, *[1] * n_dims, name="b", group=16 if group == 8 else 1)
    g.add("LeakyRelu", alpha=0.1)
    g.conv(16, 8, *[3] * n_dims, name="c", group=group, bias=bias)
    return g.case(["N", 8, *[2] * n_dims])


def tied(settings):
    """Two products of one matrix."""
    g = Graph(["N", 32])
    weight = g.weight("w", 32, 32)
    g.add("MatMul", weight, name="a")
    g.add("Tanh")
    g.add("MatMul", weight, name="b")
    return g.case(["N", 32], {"b": settings})


def gemm_summands():
    """What a Gemm adds, in other shapes than one value for each channel."""
    g = Graph(["N", 64])
    for name, shape in {"row": (1, 64), "one": (1,), "number": ()}.items():
        bias = g.random.standard_normal(shape).astype(np.float32)
        g.add("Gemm", g.weight(f"{name}.w", 64, 64), g.constant(f"{name}.b", bias), name=name)
        result = g.add("Relu")
    g.add("Gemm", g.weight("computed.w", 64, 8), g.add("Gemm", g.weight("w", 64, 8), name="summand"), name="computed", after=result)
    return g.case(["N", 8])


def perceptron(batch, function):
    """Products of matrices, one after another."""
    g = Graph([batch, 64])
    for name in "abc":
        g.add("Gemm", g.weight(f"{name}.w", 64, 64), g.weight(f"{name}.b", 64), name=name)
        if function == "Clip":
            g.add("Clip", g.constant(f"{name}.low", np.float32(0)), g.constant(f"{name}.high", np.float32(6)))
        else:
            g.add("Relu")
            factors = [g.constant(f"{name}.{part}", 0.5 + g.random.random(64).astype(np.float32)) for part in ("scale", "shift", "mean", "variance")]
            g.add("BatchNormalization", *factors)
    g.add("MatMul", g.weight("w", 64, 8), name="last")
    return g.case([batch, 8])


def product_weights_only(product):
    """A product of which only the weights are integers."""
    g = Graph(["N", 32])
    g.add("MatMul", g.weight("w1", 32, 32), name="a")
    g.add("Relu")
    if product == "Gemm":
        g.add("Gemm", g.weight("w2", 32, 8), g.weight("b2", 8), name="b")
    else:
        g.add("MatMul", g.weight("w2", 32, 8), name="b")
    return g.case(["N", 8], {"b": {"weights_only": True}})


CASES = {
    "deconv": lambda: transposed_convolution(2, 1, True),
    "deconv-no-bias": lambda: transposed_convolution(2, 1, False),
    "deconv-groups": lambda: transposed_convolution(2, 4, True),
    "deconv-1d": lambda: transposed_convolution(1, 1, True),
    "mixed-conv-middle": lambda: mixed_bits("b", "Conv"),
    "mixed-conv-ends": lambda: mixed_bits("ac", "Conv"),
    "mixed-gemm": lambda: mixed_bits("b", "Gemm"),
    "mixed-matmul": lambda: mixed_bits("b", "MatMul"),
    "ffn-21": lambda: feed_forward(21, [1, 16, 64]),
    "ffn-22-rank4": lambda: feed_forward(22, [1, 2, 16, 64]),
    "ffn-23": lambda: feed_forward(23, [1, 16, 64]),
    "ffn-21-matrix": lambda: feed_forward(21, [16, 64]),
    "attention-17": lambda: attention(17, "N"),
    "attention-21": lambda: attention(21, 1),
    "moved-21": lambda: moved(21, "float"),
    "moved-23-output": lambda: moved(23, "moved"),
    "transposed-17": lambda: transposed(17),
    "transposed-21": lambda: transposed(21),
    "conv-weights-only": lambda: float_between({"weights_only": True}, "Conv"),
    "conv-float": lambda: float_between({"quant_enable": False}, "Conv"),
    "if-shared": branches,
    "pool-gemm": lambda: pooled_head("GlobalAveragePool", "Gemm"),
    "pool-matmul": lambda: pooled_head("GlobalAveragePool", "MatMul"),
    "mean-matmul": lambda: pooled_head("drop", "MatMul"),
    "mean-gemm-18": lambda: pooled_head("drop", "Gemm", opset=18),
    "mean-kept-gemm": lambda: pooled_head("keep", "Gemm"),
    "mean-smoothed": smoothed_head,
    "average-counts": lambda: average_pool(1, "LeakyRelu"),
    "average": lambda: average_pool(0, "LeakyRelu"),
    "average-counts-relu": lambda: average_pool(1, "Relu"),
    "contrib": contrib,
    "conv-groups": lambda: convolutions(2, 4),
    "conv-depthwise": lambda: convolutions(2, 8, bias=False),
    "conv-1d": lambda: convolutions(1, 1),
    "conv-3d": lambda: convolutions(3, 1),
    "tied": lambda: tied({}),
    "tied-weights-only": lambda: tied({"weights_only": True}),
    "matmul-weights-only": lambda: product_weights_only("MatMul"),
    "gemm-weights-only": lambda: product_weights_only("Gemm"),
    "gemm-summands": gemm_summands,
    "perceptron-clip": lambda: perceptron(8, "Clip"),
    "perceptron-norm": lambda: perceptron(8, "BatchNormalization"),
}
