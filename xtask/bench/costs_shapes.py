"""The operators that are measured, with their shapes."""

import costs_graphs as graphs
from costs_graphs import RNG, plain, pool, two

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
    dict(op="AveragePool", shape="Window", builds=[pool("AveragePool", *window) for window in WINDOWS], windows=WINDOWS, result="Merged"),
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
