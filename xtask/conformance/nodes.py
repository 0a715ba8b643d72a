"""Collects the node tests of the installed onnx package.

    python nodes.py OUT

One folder for each test, with model.onnx; data.onnx, a model whose initializers are the input tensors and the expected output
tensors; and case.json, which describes inputs and outputs as {"tensor": name}, {"sequence": [...]} or {"optional": item or null},
and an absent input as null. Tests of expanded function bodies are omitted: they test the same operators.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import onnx
import onnx.backend.test.case.node as node_tests
from onnx import helper, numpy_helper

warnings.filterwarnings("ignore")


def item(value, type_proto, tensors):
    """A description of a value; adds its tensors to `tensors`."""
    kind = type_proto.WhichOneof("value")
    if kind == "optional_type":
        inner = type_proto.optional_type.elem_type
        return {"optional": None if value is None else item(value, inner, tensors)}
    if kind == "sequence_type":
        return {"sequence": [item(v, type_proto.sequence_type.elem_type, tensors) for v in value]}
    if value is None:
        return None
    name = f"t{len(tensors)}"
    if isinstance(value, onnx.TensorProto):
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        tensor.name = name
    else:
        tensor = numpy_helper.from_array(np.asarray(value), name)
    tensors.append(tensor)
    return {"tensor": name}


def main(out):
    n_cases = 0
    for case in node_tests.collect_testcases(None):
        if "_expanded" in case.name:
            continue
        graph, tensors = case.model.graph, []
        inputs, outputs = case.data_sets[0]
        assert len(inputs) == len(graph.input) and len(outputs) == len(graph.output), case.name
        described = {
            "ops": [f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in graph.node],
            "rtol": case.rtol if case.rtol is not None else 1e-3,
            "atol": case.atol if case.atol is not None else 1e-7,
            "inputs": [item(value, info.type, tensors) for value, info in zip(inputs, graph.input)],
            "outputs": [item(value, info.type, tensors) for value, info in zip(outputs, graph.output)],
        }
        folder = pathlib.Path(out) / case.name
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(case.model, folder / "model.onnx")
        holder = helper.make_graph([], "data", [], [], initializer=tensors)
        onnx.save(helper.make_model(holder), folder / "data.onnx")
        (folder / "case.json").write_text(json.dumps(described))
        n_cases += 1
    print(n_cases, "node tests of onnx", onnx.__version__)


main(sys.argv[1])
