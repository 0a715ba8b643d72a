"""Writes well-known networks with random weights, for measurements of speed; batch normalization is folded into the convolutions.

    python standard_nets.py DIR

Each is a folder in DIR as folder.py describes it, without eval.npz. The batch is symbolic, and the data are random numbers.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

N_SAMPLES, SIZE, N_CLASSES = 8, 224, 1000


class Net:
    """A network with the input x, built node by node."""

    def __init__(self):
        self.rng, self.nodes, self.constants = np.random.default_rng(7), [], []

    def const(self, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def weight(self, *shape, fan_in, gain=1.0):
        return self.const((self.rng.standard_normal(shape) * gain * fan_in**-0.5).astype(np.float32))

    def op(self, kind, *inputs, **attributes):
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x, inputs, outputs, kernel, stride=1, groups=1, gain=2**0.5, pads=None):
        weight = self.weight(outputs, inputs // groups, kernel, kernel, fan_in=inputs // groups * kernel**2, gain=gain)
        bias = self.const(np.full(outputs, 0.01, np.float32))
        pads = 4 * [kernel // 2 if pads is None else pads]
        return self.op("Conv", x, weight, bias, kernel_shape=2 * [kernel], strides=2 * [stride], pads=pads, group=groups)

    def linear(self, x, inputs, outputs, gain=1.0):
        product = self.op("MatMul", x, self.weight(inputs, outputs, fan_in=inputs, gain=gain))
        return self.op("Add", product, self.const(np.zeros(outputs, np.float32)))

    def classified(self, x, channels):
        """The network's output from a feature map."""
        x = self.op("Flatten", self.op("GlobalAveragePool", x))
        weight = self.weight(channels, N_CLASSES, fan_in=channels)
        return self.op("Gemm", x, weight, self.const(np.zeros(N_CLASSES, np.float32)))

    def model(self, output):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
        y = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", N_CLASSES])
        graph = helper.make_graph(self.nodes, "net", [x], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet(blocks, is_bottleneck):
    """ResNet-18 and ResNet-50 (He et al. 2015); the stride is in the 3x3 convolution."""
    net, expansion = Net(), 4 if is_bottleneck else 1
    x = net.op("Relu", net.conv("x", 3, 64, 7, 2))
    x, channels = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 64
    for stage, n_blocks in enumerate(blocks):
        width = 64 << stage
        for block in range(n_blocks):
            stride = 2 if stage and not block else 1
            layers = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)] if is_bottleneck else [(width, 3, stride), (width, 3, 1)]
            y, inputs = x, channels
            for idx, (outputs, kernel, step) in enumerate(layers):
                is_last = idx + 1 == len(layers)
                y, inputs = net.conv(y, inputs, outputs, kernel, step, gain=0.5 if is_last else 2**0.5), outputs
                y = y if is_last else net.op("Relu", y)
            if stride != 1 or channels != width * expansion:
                x = net.conv(x, channels, width * expansion, 1, stride, gain=1.0)
            x, channels = net.op("Relu", net.op("Add", y, x)), width * expansion
    return net.model(net.classified(x, channels))


def mobilenet_v2():
    """MobileNetV2 of width 1 (Sandler et al. 2018)."""
    net = Net()

    def relu6(x):
        return net.op("Clip", x, net.const(np.float32(0)), net.const(np.float32(6)))

    x, channels = relu6(net.conv("x", 3, 32, 3, 2)), 32
    for expansion, outputs, n_blocks, first_stride in [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ]:
        for block in range(n_blocks):
            stride, inner = first_stride if not block else 1, channels * expansion
            y = relu6(net.conv(x, channels, inner, 1)) if expansion > 1 else x
            y = relu6(net.conv(y, inner, inner, 3, stride, groups=inner))
            y = net.conv(y, inner, outputs, 1, gain=1.0)
            x = net.op("Add", x, y) if stride == 1 and channels == outputs else y
            channels = outputs
    return net.model(net.classified(relu6(net.conv(x, channels, 1280, 1)), 1280))


def vit_tiny(n_layers=12, width=192, n_heads=3, patch=16):
    """ViT-Tiny (Touvron et al. 2020) with the mean of the tokens in place of a class token."""
    net, n_tokens, head = Net(), (SIZE // patch) ** 2, width // n_heads

    def norm(x):
        return net.op("LayerNormalization", x, net.const(np.ones(width, np.float32)), net.const(np.zeros(width, np.float32)), axis=-1)

    def heads(x, perm):
        split = net.op("Reshape", x, net.const(np.array([0, n_tokens, n_heads, head])))
        return net.op("Transpose", split, perm=perm)

    def gelu(x):
        erf = net.op("Erf", net.op("Div", x, net.const(np.float32(2**0.5))))
        product = net.op("Mul", x, net.op("Add", erf, net.const(np.float32(1))))
        return net.op("Mul", product, net.const(np.float32(0.5)))

    x = net.op("Reshape", net.conv("x", 3, width, patch, patch, pads=0), net.const(np.array([0, width, n_tokens])))
    x = net.op("Transpose", x, perm=[0, 2, 1])
    x = net.op("Add", x, net.weight(1, n_tokens, width, fan_in=width))
    for _ in range(n_layers):
        y = norm(x)
        query, key, value = (
            heads(net.linear(y, width, width), perm) for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        scores = net.op("Mul", net.op("MatMul", query, key), net.const(np.float32(head**-0.5)))
        y = net.op("MatMul", net.op("Softmax", scores, axis=-1), value)
        y = net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1, 3]), net.const(np.array([0, n_tokens, width])))
        x = net.op("Add", x, net.linear(y, width, width, gain=0.5))
        y = gelu(net.linear(norm(x), width, 4 * width))
        x = net.op("Add", x, net.linear(y, 4 * width, width, gain=0.5))
    pooled = net.op("ReduceMean", norm(x), axes=[1], keepdims=0)
    return net.model(net.linear(pooled, width, N_CLASSES))


NETS = {
    "resnet18": lambda: resnet([2, 2, 2, 2], False),
    "resnet50": lambda: resnet([3, 4, 6, 3], True),
    "mobilenet_v2": mobilenet_v2,
    "vit_tiny": vit_tiny,
}


def main(directory):
    data = np.random.default_rng(8).standard_normal((N_SAMPLES, 3, SIZE, SIZE)).astype(np.float32)
    for name, build in NETS.items():
        folder = pathlib.Path(directory) / name
        folder.mkdir(parents=True, exist_ok=True)
        model = build()
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / "model.onnx")
        np.savez(folder / "calib.npz", x=data)
        (folder / "meta.json").write_text(json.dumps({"calib_batch": N_SAMPLES}) + "\n")


main(*sys.argv[1:])
