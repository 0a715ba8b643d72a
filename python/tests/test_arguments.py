"""Arguments, data and roles of wrong types and values: each is an error of one line that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import intact8
import numpy as np
import onnx
import pytest
from conftest import DIGITS, HARD
from test_quantize import BARE, FAST

MODEL = DIGITS / "model.onnx"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"target": 3}, "target must be a text, found 3"),
        ({"target": None}, "target must be a text, found None"),
        ({"prefer": 3}, "prefer must be a text, found 3"),
        ({"skip": 5}, "skip must be a text or a list of texts, found 5"),
        ({"skip": [5]}, "skip must be a text, found 5"),
        ({"deploy": []}, "deploy must name at least one format"),
        ({"metric": 5}, "metric must be a text or a list of texts, found 5"),
        ({"groups": ["abc"]}, "groups must be a list of lists of layers, found a list of texts"),
        ({"groups": 5}, "groups must be a list of lists of layers, found int"),
        ({"config": b"{}"}, "config must be a path, found b'{}'"),
        ({"config": {"a": object()}}, "config: is no content of a JSON file"),
        ({"config": {"a": 1}}, "config: a: invalid type"),
        ({"calibration_batches": 0}, "calibration_batches must be a whole number of at least 1, found 0"),
        ({"calibration_batches": 1.5}, "calibration_batches must be a whole number of at least 1, found 1.5"),
        ({"strategy": 5}, "strategy must be a name or an intact8.Strategy, found int"),
        ({"strategy": intact8.Strategy}, "found the class itself; make an object of it"),
        ({"sensitivity": None}, "sensitivity must be a name or an intact8.Sensitivity, found NoneType"),
        ({"max_trials": -1}, "max_trials must be a whole number of at least 1, found -1"),
        ({"max_trials": True}, "max_trials must be a whole number of at least 1, found True"),
        ({"time_budget": "1"}, "time_budget must be a finite number, found '1'"),
        ({"time_budget": float("nan")}, "time_budget must be a finite number, found nan"),
        ({"early_stop": "no"}, "early_stop must be True or False, found 'no'"),
        ({"runtime": 3}, "runtime must be a text, found 3"),
        ({"threads": "2"}, "threads must be a whole number of at least 1, found '2'"),
        ({"max_drop": None}, "max_drop must be a finite number, found None"),
        ({"save": 5}, "save must be a path, found 5"),
        ({"save": ""}, "save must be a path, found ''"),
        ({"callback": 5}, "callback must be a function, found int"),
        ({"batch": -1}, "batch must be a whole number of at least 1, found -1"),
        ({"mean": "a"}, "mean must be a finite number, found 'a'"),
        ({"std": [1, "a"]}, "std must be a finite number, found 'a'"),
    ],
)
def test_a_wrong_argument_is_named(kwargs: dict[str, Any], message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(intact8.InputError) as caught:
        intact8.quantize(MODEL, DIGITS / "calib.npz", **{**FAST, "evaluate": DIGITS / "eval.npz", **kwargs})
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_numbers() -> None:
    result = intact8.quantize(
        MODEL,
        DIGITS / "calib.npz",
        evaluate=DIGITS / "eval.npz",
        threads=np.int64(1),
        batch=np.int32(32),
        max_drop=np.float32(0.01),
        max_trials=np.uint8(3),
        early_stop=np.bool_(True),
        time_budget=np.float64(60),
        **FAST,
    )
    assert result.met is True


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (b"abc", "calibration: must be a path, arrays or an iterable of batches, found bytes"),
        ({}, "calibration: has no array 'input', which the model requires; it has none"),
        ({0: np.zeros(3)}, "calibration: has no array 'input', which the model requires; it has 0"),
    ],
)
def test_wrong_data_are_named(calibration: Any, message: str) -> None:
    with pytest.raises(intact8.InputError) as caught:
        intact8.quantize(MODEL, calibration, **FAST)
    assert str(caught.value) == message


def test_tensors_without_elements_are_named() -> None:
    class OnOtherDevice:
        shape = (1, 1, 8, 8)

        def detach(self) -> Any:
            return self

        def cpu(self) -> Any:
            raise NotImplementedError("no data\nfurther lines")

    with pytest.raises(intact8.InputError, match="^calibration: batch 1: 'input': is no array: no data$"):
        intact8.quantize(MODEL, [[OnOtherDevice()]], **FAST)


def test_nested_lists_are_one_array(images: Any) -> None:
    expected = intact8.quantize(MODEL, [images[:4]], **FAST).deploy
    assert intact8.quantize(MODEL, [images[:4].tolist()], **FAST).deploy == expected
    assert intact8.quantize(MODEL, [(images[:4].tolist(), [1, 2, 3, 4])], **FAST).deploy == expected


def test_a_tuple_may_have_all_samples(images: Any, evaluation: dict[str, Any]) -> None:
    data = (evaluation["input"], evaluation["labels"])
    expected = intact8.quantize(MODEL, images, evaluate=evaluation, **FAST)
    metric = lambda outputs, targets: (outputs.argmax(1) == targets).mean()  # noqa: E731
    for kwargs in [{"evaluate": data}, {"evaluate": metric, "evaluation_data": data}]:
        found = intact8.quantize(MODEL, (images, np.zeros(len(images))), **kwargs, **FAST)
        graphs = [onnx.load_model_from_string(result.deploy).graph for result in (found, expected)]
        # The properties of the models name the metric.
        assert graphs[0] == graphs[1]
        assert found.metrics[0].original == pytest.approx(expected.metrics[0].original)
    # A tuple of batches is an iterable.
    assert intact8.quantize(MODEL, (images[:128], images[128:]), **FAST).verdict == "unscored"


def test_outputs_of_different_shapes_need_a_metric_by_sample() -> None:
    from onnx import TensorProto, helper, numpy_helper

    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "s", size]) for name, size in [("x", 8), ("y", 4)]]
    weight = numpy_helper.from_array(np.random.default_rng(0).random((8, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")], "g", info[:1], info[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [(np.ones((1, length, 8), np.float32), 0) for length in (3, 4)]
    with pytest.raises(intact8.InputError, match="outputs of different shapes"):
        intact8.quantize(model, samples, evaluate=lambda outputs, targets: 1.0, evaluation_data=samples, **FAST)
    by_sample = intact8.per_sample(lambda outputs, targets: np.ones(len(outputs)))
    assert intact8.quantize(model, samples, evaluate=by_sample, evaluation_data=samples, **FAST).met is True


@pytest.mark.parametrize("evaluate", [None, DIGITS / "eval.npz"])
def test_calibration_batches_limit_every_form(evaluate: Any, images: Any) -> None:
    quantize = lambda data, **kwargs: intact8.quantize(MODEL, data, evaluate=evaluate, **FAST, **kwargs).deploy  # noqa: E731
    first = quantize(images[:64])
    assert first != quantize(images)
    assert quantize(images, calibration_batches=2) == first
    assert quantize({"input": images}, calibration_batches=2) == first
    # Single samples are joined to batches of 32.
    assert quantize((images[i : i + 1] for i in range(256)), calibration_batches=64) == first
    assert quantize(images[:64], calibration_batches=99) == first


@pytest.mark.parametrize(
    ("proposed", "message"),
    [
        (5, "propose returned 5; return a list of names of layers, or None to stop"),
        ("stem.conv", "propose returned 'stem.conv'; return a list"),
        ([1, 2], "propose returned \\[1, 2\\]; return a list"),
    ],
)
def test_a_strategy_must_return_layers(proposed: Any, message: str) -> None:
    class Wrong(intact8.Strategy):
        def propose(self, ranking: Any, history: Any) -> Any:
            return proposed

    with pytest.raises(intact8.Intact8Error, match=message):
        intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", strategy=Wrong(), **BARE)


@pytest.mark.parametrize(
    ("value", "message"), [(None, "similarity returned None"), ("x", "the text 'x'"), (np.ones(2), "shape \\[2\\]")]
)
def test_a_sensitivity_must_return_a_number(value: Any, message: str) -> None:
    class Wrong(intact8.Sensitivity):
        def similarity(self, original: Any, quantized: Any) -> Any:
            return value

    with pytest.raises(intact8.Intact8Error, match=message):
        intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", sensitivity=Wrong(), **BARE)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda outputs, targets: ["a"] * len(targets), "the metric returned an array of <U1"),
        (lambda outputs, targets: np.full(len(targets), 1j), "the metric returned an array of complex128"),
        (lambda outputs, targets: np.full(len(targets), 7), "the metric returned 7.0, which is not from low, 0.0, to high, 1.0"),
    ],
)
def test_a_metric_by_sample_must_return_numbers_in_its_bounds(function: Any, message: str) -> None:
    metric = intact8.per_sample(function, low=0, high=1)
    with pytest.raises(intact8.Intact8Error, match=message):
        intact8.quantize(MODEL, DIGITS / "calib.npz", evaluate=metric, evaluation_data=DIGITS / "eval.npz", **FAST)


def test_bounds_and_functions_of_metrics_are_checked() -> None:
    with pytest.raises(intact8.InputError, match="low must not exceed high"):
        intact8.per_sample(lambda outputs, targets: targets, low=1, high=0)
    with pytest.raises(intact8.InputError, match="per_sample marks a function, found int"):
        intact8.per_sample(5)  # type: ignore[arg-type]


def test_names_of_numbers_are_explained() -> None:
    with pytest.raises(intact8.Intact8Error, match="returned no 'metric'; it returned 'acc'; name one of them as metric"):
        intact8.quantize(MODEL, DIGITS / "calib.npz", evaluate=lambda path: {"acc": 1.0}, **FAST)
    with pytest.raises(intact8.Intact8Error, match="the evaluator returned inf"):
        intact8.quantize(MODEL, DIGITS / "calib.npz", evaluate=lambda path: 10**400, **FAST)
    named = intact8.quantize(
        MODEL,
        DIGITS / "calib.npz",
        evaluate=lambda outputs, targets: {"acc": (outputs.argmax(1) == targets).mean()},
        evaluation_data=DIGITS / "eval.npz",
        metric="acc",
        **FAST,
    )
    assert named.met is True
    with pytest.raises(intact8.InputError, match="groups are for a search"):
        intact8.quantize(MODEL, DIGITS / "calib.npz", groups=[["stem.conv", "fc"]], **FAST)


def test_tools_check_their_arguments(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    session = intact8.Session(MODEL)
    for call, message in [
        (lambda: session.run(np.zeros((1, 1, 8, 8)), taps=5), "taps must be a text or a list of texts, found 5"),
        (lambda: session.run({1: np.zeros((1, 1, 8, 8))}), 'input "input": is missing'),
        (lambda: intact8.Session(MODEL, runtime=4), "runtime must be a text, found 4"),  # type: ignore[arg-type]
        (lambda: intact8.bench(MODEL, seconds=-1), "seconds must be at least 0, found -1"),
        (lambda: intact8.bench(MODEL, threads=0), "threads must be a whole number of at least 1, found 0"),
        (lambda: intact8.bench(MODEL, batch=0), "batch must be a whole number of at least 1, found 0"),
        (lambda: intact8.convert(MODEL, 5, tmp_path / "m"), "record must be a path, found 5"),  # type: ignore[arg-type]
        (lambda: intact8.convert(MODEL, tmp_path / "r", ""), "save must be a path, found ''"),
        (lambda: intact8.convert_qat(MODEL, tmp_path / "m", deploy=[]), "deploy must name at least one format"),
    ]:
        with pytest.raises(intact8.InputError) as caught:
            call()
        assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert len(intact8.bench(str(MODEL), seconds=0.05, runtime="none")) == 1


def test_a_result_is_saved_under_every_prefix(tmp_path: Path) -> None:
    first = intact8.quantize(MODEL, DIGITS / "calib.npz", save=tmp_path / "a", **FAST)
    assert all(layer.arithmetic is not None for layer in first.layers) and "layers: " in repr(first)
    written = first.save(tmp_path / "other" / "b")
    assert str(tmp_path / "other" / "b_deploy_model.onnx") in written
    assert not [path for path in written if Path(path).name.startswith("a_")]
    assert sorted(Path(path).name for path in first.save(tmp_path / "plain") ) != []
    assert (tmp_path / "plain_deploy_model.onnx").read_bytes() == first.deploy
    assert set(first.save(tmp_path / "a")) == set(first.files)
    assert json.loads((tmp_path / "other" / "b_final_config.json").read_text())
    with pytest.raises(intact8.InputError, match="path must be a path, found ''"):
        first.save("")
    (tmp_path / "file").write_text("")
    with pytest.raises(intact8.FileError, match="file"):
        first.save(tmp_path / "file" / "m")
