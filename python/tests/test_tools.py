"""Sessions, inspection, comparison, latencies, conversions and the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import intact8
import numpy as np
import pytest
from conftest import DIGITS


def test_a_session_agrees_with_onnxruntime(evaluation: dict[str, Any]) -> None:
    import onnxruntime

    expected = onnxruntime.InferenceSession(DIGITS / "model.onnx", providers=["CPUExecutionProvider"])
    logits = expected.run(None, {"input": evaluation["input"]})[0]
    for session in [intact8.Session(DIGITS / "model.onnx"), intact8.Session(DIGITS / "model.onnx", runtime="onnxruntime")]:
        assert (session.inputs, session.outputs) == (["input"], ["logits"])
        found = session.run({"input": evaluation["input"]})
        np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-4)
        found["logits"][0] = 0  # The array is the caller's own.
        tapped = session.run(evaluation["input"].astype(np.float64), taps=["logits"])
        np.testing.assert_allclose(tapped["logits"], logits, rtol=1e-4, atol=1e-4)


def test_values_inside_a_model_can_be_tapped(images: Any) -> None:
    import onnx
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Relu", ["x"], ["inner"]), helper.make_node("Neg", ["inner"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    found = intact8.run(model, {"x": [[-1.0, 2.0]]}, taps="inner")
    assert found["inner"].tolist() == [[0, 2]] and found["y"].tolist() == [[0, -2]]
    session = intact8.Session(model)
    for inputs, taps, message in [
        ({}, [], 'input "x": is missing'),
        ({"x": [[1.0, 2.0]], "z": [1.0]}, [], 'there is no input "z"; the model has "x"'),
        ({"x": [[1.0, 2.0, 3.0]]}, [], "x: the input must be"),
        ({"x": [[1.0, 2.0]]}, ["absent"], 'no value "absent" is computed'),
    ]:
        with pytest.raises(ValueError) as caught:
            session.run(inputs, taps)
        assert message in str(caught.value)


def test_strings_and_integers_pass() -> None:
    from onnx import TensorProto, helper

    for kind, array in [
        (TensorProto.STRING, np.array([["a", "bc"]])),
        (TensorProto.INT64, np.array([[1, -2]], np.int64)),
        (TensorProto.BOOL, np.array([[True, False]])),
        (TensorProto.FLOAT16, np.array([[0.5, -2]], np.float16)),
        (TensorProto.UINT8, np.array([[0, 255]], np.uint8)),
        (TensorProto.DOUBLE, np.array([[0.1, -2]], np.float64)),
    ]:
        info = [helper.make_tensor_value_info(name, kind, ["n", 2]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", info[:1], info[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        found = intact8.run(model, {"x": array})["y"]
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype


def test_layers_are_inspected() -> None:
    layers = intact8.inspect(DIGITS / "model.onnx")
    stem = next(layer for layer in layers if layer.name == "stem.conv")
    assert stem.op == "Conv" and stem.quantizable and stem.reason is None
    assert stem.input is not None and stem.input[1:] == (1, 8, 8) and (stem.multiply_adds or 0) > 0
    assert stem.plan is None
    planned = intact8.inspect(DIGITS / "model.onnx", target="onnxruntime-x86", prefer="most-int8")
    assert {layer.plan for layer in planned if layer.op == "Conv"} == {"int8"}
    with pytest.raises(ValueError, match="did you mean \"tensorrt\""):
        intact8.inspect(DIGITS / "model.onnx", target="trt")


def test_models_are_compared_and_timed(tmp_path: Path, images: Any) -> None:
    result = intact8.quantize(DIGITS / "model.onnx", images, measure_latency=False, save=tmp_path / "m")
    differences = intact8.compare(DIGITS / "model.onnx", result.fake_quant, {"input": images[:16]})
    by_name = {difference.value: difference for difference in differences}
    assert by_name["logits"].sqnr > 15 and by_name["input"].max_error == 0
    timings = intact8.bench([DIGITS / "model.onnx", result.deploy], images, seconds=0.2)
    assert len(timings) == 2 and timings[0].speedup == 1 and all(timing.runs >= 3 for timing in timings)
    assert intact8.bench([DIGITS / "model.onnx"], seconds=0.1, batch=4, runtime="none")[0].least > 0


def test_records_and_quantized_models_are_converted(tmp_path: Path, images: Any) -> None:
    intact8.quantize(DIGITS / "model.onnx", images, prefer="most-int8", measure_latency=False, save=tmp_path / "m")
    config = tmp_path / "m_final_config.json"
    record = tmp_path / "m_scale_offset_record.txt"
    written = intact8.convert(DIGITS / "model.onnx", record, tmp_path / "c" / "again", config=config)
    assert Path(written[0]).read_bytes() == (tmp_path / "m_deploy_model.onnx").read_bytes()
    [deploy] = intact8.convert_qat(tmp_path / "m_deploy_model.onnx", tmp_path / "q" / "m", deploy="integer", target="generic")
    session = intact8.Session(deploy)
    original = intact8.Session(DIGITS / "model.onnx").run(images)["logits"]
    assert (session.run(images)["logits"].argmax(1) == original.argmax(1)).mean() > 0.98


def test_the_command_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "intact8"]
    shown = subprocess.run([*command, "inspect", str(DIGITS / "model.onnx")], capture_output=True, text=True, check=True)
    assert "stem.conv" in shown.stdout
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip() == f"intact8 {intact8.__version__}"
    failed = subprocess.run([*command, "inspect", "absent.onnx"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1 and failed.stderr.startswith("error: absent.onnx: ")
    arguments = ["quantize", str(DIGITS / "model.onnx"), "--calib", str(DIGITS / "calib.npz"), "--eval", str(DIGITS / "eval.npz")]
    done = subprocess.run(
        [*command, *arguments, "--no-bench", "--save", str(tmp_path / "m")], capture_output=True, text=True, check=True
    )
    assert "deploy file" in done.stdout and (tmp_path / "m_deploy_model.onnx").exists()
