"""The examples of docs/python.md, on small models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from conftest import DIGITS
from onnx import TensorProto, helper, numpy_helper

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

RANDOM = np.random.default_rng(0)


def model(nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], weights: dict[str, Any]) -> bytes:
    """The bytes of a model; inputs and outputs by name, with type and shape."""
    info = [[helper.make_tensor_value_info(name, *of) for name, of in values.items()] for values in (inputs, outputs)]
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", info[0], info[1], initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found: bytes = made.SerializeToString()
    return found


def weight(*shape: int) -> Any:
    return (RANDOM.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def test_the_ten_lines_run() -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "numpy_only.py", DIGITS], capture_output=True, text=True, check=True)
    assert "the target is met" in done.stdout


def test_the_notebook_runs(monkeypatch: Any) -> None:
    monkeypatch.chdir(EXAMPLES)
    variables: dict[str, Any] = {}
    for cell in json.loads((EXAMPLES / "classifier.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), variables)
    result = variables["result"]
    assert {layer.name for layer in result.layers if layer.rolled_back} == {"block1.conv2", "block4.conv2"}


def test_the_detector_runs() -> None:
    from detector import quantize_detector, recall

    nodes = [
        helper.make_node("Conv", ["image", "w"], ["features"], name="backbone", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "wb", "bb"], ["flat_boxes"], name="boxes_head"),
        helper.make_node("Reshape", ["flat_boxes", "shape"], ["boxes"]),
        helper.make_node("Gemm", ["flat", "ws", "bs"], ["logits"], name="scores_head"),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    weights = {
        "w": weight(8, 3, 3, 3),
        "wb": weight(8, 20),
        "bb": np.tile(np.array([1, 1, 5, 5], np.float32), 5) + np.arange(20, dtype=np.float32) // 4,
        "ws": weight(8, 5),
        "bs": np.ones(5, np.float32),
        "shape": np.array([-1, 5, 4]),
    }
    floats = TensorProto.FLOAT
    detector = model(
        nodes,
        {"image": (floats, ["n", 3, 16, 16])},
        {"boxes": (floats, ["n", 5, 4]), "scores": (floats, ["n", 5])},
        weights,
    )
    images = RANDOM.random((24, 3, 16, 16), np.float32)
    truth = [np.array([[1, 1, 5, 5]] * (1 + idx % 3), np.float32) for idx in range(24)]
    result = quantize_detector(detector, images, truth)
    assert result.met is True and result.metrics[0].name == "recall" and result.metrics[0].original > 0.5
    assert recall({"boxes": np.zeros((1, 1, 4), np.float32), "scores": np.ones((1, 1), np.float32)}, [truth[0]]) == 0


def test_the_transformer_runs_on_sentences_of_different_lengths() -> None:
    from transformer import quantize_classifier

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["mask"]),
        helper.make_node("Cast", ["mask"], ["float_mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["embedded", "float_mask"], ["masked"]),
        helper.make_node("MatMul", ["masked", "wq"], ["query"], name="query"),
        helper.make_node("MatMul", ["masked", "wk"], ["key"], name="key"),
        helper.make_node("Transpose", ["key"], ["key_t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["query", "key_t"], ["scores"], name="attention"),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "masked"], ["mixed"], name="mix"),
        helper.make_node("ReduceMean", ["mixed"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["pooled", "head"], ["logits"], name="head"),
    ]
    weights = {
        "table": weight(50, 16) * 4,
        "last": np.array([-1]),
        "wq": weight(16, 16),
        "wk": weight(16, 16),
        "head": weight(16, 4),
    }
    ints = (TensorProto.INT64, ["n", "length"])
    bytes_of_model = model(
        nodes, {"input_ids": ints, "attention_mask": ints}, {"logits": (TensorProto.FLOAT, ["n", 4])}, weights
    )
    sentences = [RANDOM.integers(0, 50, RANDOM.integers(3, 9)) for _ in range(80)]
    import intact8

    session = intact8.Session(bytes_of_model)

    def label(ids: Any) -> int:
        found = session.run({"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), np.int64)})
        return int(found["logits"][0].argmax())

    result = quantize_classifier(bytes_of_model, sentences[:20], sentences[20:], [label(ids) for ids in sentences[20:]])
    assert result.metrics[0].original == 1.0 and result.history[0].samples == 60


def test_the_recurrent_network_keeps_its_state() -> None:
    from recurrent import quantize_recurrent

    nodes = [
        helper.make_node("GRU", ["frame", "w", "r", "", "", "state"], ["y", "next_state"], name="gru", hidden_size=8),
        helper.make_node("Squeeze", ["y", "one"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "head"], ["output"], name="head"),
    ]
    weights = {"w": weight(1, 24, 6), "r": weight(1, 24, 8), "one": np.array([1]), "head": weight(8, 3)}
    floats = TensorProto.FLOAT
    network = model(
        nodes,
        {"frame": (floats, [1, "n", 6]), "state": (floats, [1, "n", 8])},
        {"output": (floats, [1, "n", 3]), "next_state": (floats, [1, "n", 8])},
        weights,
    )
    signals = RANDOM.standard_normal((30, 4, 6)).astype(np.float32)
    result = quantize_recurrent(network, signals[:15], signals[15:])
    assert result.met is True and result.metrics[0].target == ">=25"
