"""Small models of one operator in float and in int8, alone or between products."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(3)
SCALE, ZERO_POINT = np.float32(0.05), np.uint8(128)


class Graph:
    """A model with the input x, built node by node. While `int8` is set, weights are quantized, and values while `is_quantized` is."""

    def __init__(self, shape, int8, is_between=False):
        self.shape, self.int8, self.is_quantized, self.is_between = [1, *shape], int8, True, is_between
        self.nodes, self.constants, self.others, self.n_products = [], [], [], 0

    def const(self, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def op(self, kind, *inputs, **attributes):
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def q(self, x):
        """A value for an operator, or its result."""
        if not (self.int8 and self.is_quantized):
            return x
        scale, zero = self.const(SCALE), self.const(ZERO_POINT)
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, scale, zero), scale, zero)

    def weight(self, shape, axis, has_bias):
        """A weight, and a bias."""
        values = (RNG.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)
        n = shape[axis]
        if not self.int8:
            return [self.const(values)] + [self.const(np.full(n, 0.1, np.float32))] * has_bias
        others = tuple(dim for dim in range(len(shape)) if dim != axis)
        scale = (np.abs(values).max(others) / 127).astype(np.float32)
        along = [n if dim == axis else 1 for dim in range(len(shape))]
        integers, zeros = np.round(values / scale.reshape(along)).astype(np.int8), self.const(np.zeros(n, np.int8))
        found = [self.op("DequantizeLinear", self.const(integers), self.const(scale), zeros, axis=axis)]
        if has_bias:
            integers, zeros = self.const(np.full(n, 9, np.int32)), self.const(np.zeros(n, np.int32))
            found.append(self.op("DequantizeLinear", integers, self.const(scale * SCALE), zeros, axis=0))
        return found

    def conv(self, x, inputs, outputs, kernel, strides=None, groups=1):
        self.n_products += 1
        attributes = {"kernel_shape": kernel, "strides": strides or [1] * len(kernel), "group": groups}
        attributes["pads"] = 2 * [length // 2 for length in kernel]
        weight = self.weight((outputs, inputs // groups, *kernel), 0, True)
        return self.q(self.op("Conv", x, *weight, **attributes))

    def dequantized(self, x):
        """A value in float after a DequantizeLinear."""
        int8, self.int8 = self.int8, True
        x = self.q(x)
        self.int8 = int8
        return x

    def pointwise(self, x, shape, outputs=None):
        """A small convolution of a value of that shape."""
        return self.conv(x, shape[1], outputs or shape[1], [1] * (len(shape) - 2))

    def matmul(self, x, inner, outputs):
        self.n_products += 1
        return self.op("MatMul", x, *self.weight((inner, outputs), 1, False))

    def model(self, *outputs):
        """The file, and inputs for several runs of it: branches that depend on data are learned by processors."""
        values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in [*outputs, *self.others]]
        graph = helper.make_graph(self.nodes, "g", values, results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        n_inputs = 1 if np.prod(self.shape) > 1 << 21 else 8
        inputs = RNG.standard_normal((n_inputs, *self.shape)).astype(np.float32)
        return model.SerializeToString(), [{"x": x} for x in inputs]


def shape_of(build, size):
    """The shape of the result of an operator."""
    graph = Graph(size, False)
    model = onnx.load_from_string(graph.model(build(graph, "x", [1, *size]))[0])
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]


# Operators: functions of a graph, a value and its shape.


def plain(kind, **attributes):
    return lambda g, x, shape: g.q(g.op(kind, x, **attributes))


def pool(kind, size, stride):
    pads = [size // 2 if stride == 1 else 0] * 4
    return plain(kind, kernel_shape=[size, size], strides=[stride, stride], pads=pads)


def two(kind, **attributes):
    """A function of two values of one shape: between products, those of two of them."""

    def build(g, x, shape):
        other = g.pointwise(x, shape) if g.is_between else (g.q if kind == "Concat" else g.dequantized)(g.op("Neg", "x"))
        return g.q(g.op(kind, other, x, **attributes))

    return build


def gated(g, x, shape):
    return g.q(g.op("Mul", x, g.q(g.op("Sigmoid", x))))


def weighed(g, x, shape):
    """The product of a value and one number for each channel."""
    return g.q(g.op("Mul", x, numbers_of_channels(g, x, shape)))


def numbers_of_channels(g, x, shape):
    pooled = g.q(g.op("GlobalAveragePool", x))
    return g.pointwise(pooled, shape) if g.is_between else pooled


def shifted(g, x, shape):
    return g.q(g.op("Add", x, g.const(np.full((shape[1], 1, 1), 0.5, np.float32))))


def clipped(g, x, shape):
    return g.q(g.op("Clip", x, g.const(np.float32(0)), g.const(np.float32(6))))


def resized(g, x, shape):
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return g.q(g.op("Resize", x, "", g.const(np.array([1, 1, 2, 2], np.float32)), **modes))


def expanded(g, x, shape):
    return g.q(g.op("Expand", x, g.ints(2, *shape[1:])))


def halved(g, x, shape):
    return g.q(g.op("Slice", x, g.ints(0), g.ints(shape[-1] // 2), g.ints(len(shape) - 1)))


def split(g, x, shape):
    """Halves of the channels; the second is returned by the model."""
    names = [f"half_{idx}" for idx in range(2)]
    g.nodes.append(helper.make_node("Split", [x], names, axis=1))
    first, second = map(g.q, names)
    g.others.append(second)
    return first


def gathered(g, x, shape):
    return g.q(g.op("Gather", x, g.ints(*range(0, shape[1], 2)), axis=1))


def flattened(g, x, shape):
    return g.q(g.op("Reshape", x, g.ints(1, -1, shape[-1])))
