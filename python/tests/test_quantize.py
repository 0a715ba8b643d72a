"""The search: models, data and evaluators in every form, and the result."""

from __future__ import annotations

import html
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Optional

import intact8
import jsonschema
import numpy as np
import pytest

from conftest import DIGITS, HARD, of_torch
from onnxruntime.quantization import CalibrationDataReader

# The verdicts need no latency, and a test no time of a runtime.
FAST: dict[str, Any] = {"measure_latency": False, "runtime": "none"}
# Without preparation two layers of the hard network can't be int8.
BARE: dict[str, Any] = {
    **FAST,
    "prefer": "most-int8",
    "without": ["equalize", "balance", "correct_bias", "fit_rounding"],
    "max_drop": 0.002,
}


def test_files_alone_quantize_every_layer() -> None:
    result = intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz", **FAST)
    assert result.met is True and result.verdict == "met" and result.ending == "all quantized"
    [metric] = result.metrics
    assert metric.name == "top1" and metric.original == pytest.approx(0.994981, abs=1e-6)
    assert metric.result is not None and metric.interval is not None and metric.confidence == 0.95
    assert len(result.deploy) < (DIGITS / "model.onnx").stat().st_size
    assert [trial.satisfied for trial in result.history] == [True]


def test_the_search_finds_the_layers_that_stay_in_float() -> None:
    result = intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", **BARE)
    assert result.met is True
    in_float = {layer.name for layer in result.layers if layer.rolled_back}
    assert in_float == {"block1.conv2", "block4.conv2"}
    assert all(layer.similarity is not None for layer in result.layers)
    assert result.history[0].satisfied is False and result.history[-1].rolled_back


@pytest.mark.parametrize("form", ["bytes", "proto"])
def test_a_model_may_be_bytes_or_a_proto(form: str, images: Any, evaluate: Any) -> None:
    model: Any = (DIGITS / "model.onnx").read_bytes()
    if form == "proto":
        import onnx

        model = onnx.load_from_string(model)
    result = intact8.quantize(model, {"input": images}, evaluate=evaluate, **FAST)
    assert result.met is True
    assert type(result.deploy_model()).__name__ == "ModelProto"


class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
    """A reader as the examples of ONNX Runtime have it: made of all images, one by one, with `rewind`."""

    def __init__(self, images: Any) -> None:
        self.images, self.batches = images, iter(())
        self.rewind()

    def get_next(self) -> Any:
        return next(self.batches, None)

    def rewind(self) -> None:
        self.batches = iter([{"input": self.images[i : i + 1]} for i in range(len(self.images))])


class NncfLike:
    """A dataset in the form of nncf.Dataset."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def get_inference_data(self) -> Any:
        return ({"input": self.images[i : i + 64]} for i in range(0, 256, 64))

    def get_data(self, indices: Any = None) -> Any:
        raise AssertionError("the transformed data are asked for")


class Sequence:
    """A dataset with items and a length, of samples without the batch axis."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, idx: int) -> Any:
        return self.images[idx], 7


def forms(images: Any) -> dict[str, Any]:
    batches = [images[i : i + 64] for i in range(0, 256, 64)]
    return {
        "file": DIGITS / "calib.npz",
        "mapping": {"input": images},
        "array": images,
        "list of arrays": batches,
        "list of mappings": [{"input": batch} for batch in batches],
        "generator of tuples": ((batch, np.zeros(len(batch))) for batch in batches),
        "reader": Reader(images),
        "nncf": NncfLike(images),
        "sequence of samples": Sequence(images),
        "float64": images.astype(np.float64),
    }


@pytest.mark.parametrize("form", list(forms(np.zeros((256, 1, 8, 8), np.float32))))
def test_calibration_data_have_many_forms_and_one_result(form: str, images: Any, tmp_path: Path) -> None:
    expected = intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", **FAST, batch=64)
    found = intact8.quantize(DIGITS / "model.onnx", forms(images)[form], **FAST, batch=64)
    assert found.met is None and found.verdict == "unscored"
    assert found.deploy == expected.deploy


def test_a_folder_of_samples_is_calibration_data(images: Any, tmp_path: Path) -> None:
    for idx, image in enumerate(images[:40]):
        np.savez(tmp_path / f"{idx:05}.npz", input=image)
    from_folder = intact8.quantize(DIGITS / "model.onnx", tmp_path, **FAST)
    assert from_folder.deploy == intact8.quantize(DIGITS / "model.onnx", images[:40], **FAST).deploy


def test_an_iterable_is_read_once_and_only_as_far_as_needed(images: Any) -> None:
    read: list[int] = []

    def batches() -> Any:
        for idx in range(1000):
            read.append(idx)
            yield images[:8]

    intact8.quantize(DIGITS / "model.onnx", batches(), calibration_batches=3, **FAST)
    assert read == [0, 1, 2]


def without_properties(result: intact8.Result) -> Any:
    model = result.deploy_model()
    del model.metadata_props[:]
    return model.SerializeToString()


def test_evaluators_of_every_form_agree(evaluation: dict[str, Any], evaluate: Any) -> None:
    def of_session(session: intact8.Session) -> Any:
        logits = session.run({"input": evaluation["input"]})["logits"]
        return (logits.argmax(1) == evaluation["labels"]).mean()

    def metric(outputs: Any, targets: Any) -> Any:
        return (outputs.argmax(1) == targets).mean()

    by_sample = intact8.per_sample(lambda outputs, targets: outputs.argmax(1) == targets)
    batches = [(evaluation["input"][i : i + 100], evaluation["labels"][i : i + 100]) for i in range(0, 797, 100)]
    quantize = lambda **kwargs: intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", **kwargs, **BARE)  # noqa: E731
    expected = quantize(evaluate=evaluation)
    for found in [
        quantize(evaluate=evaluate),
        quantize(evaluate=of_session),
        quantize(evaluate=metric, evaluation_data=evaluation),
        quantize(evaluate=metric, evaluation_data=HARD / "eval.npz"),
        quantize(evaluate=by_sample, evaluation_data=batches),
        quantize(evaluate=iter(batches)),
    ]:
        assert found.met is True
        # The properties name the metric, which is "metric" for a function.
        assert without_properties(found) == without_properties(expected)
        assert found.metrics[0].original == pytest.approx(expected.metrics[0].original)


def test_a_metric_by_sample_stops_early_and_has_an_interval(evaluation: dict[str, Any]) -> None:
    by_sample = intact8.per_sample(lambda outputs, targets: outputs.argmax(1) == targets)
    result = intact8.quantize(
        HARD / "model.onnx", HARD / "calib.npz", evaluate=by_sample, evaluation_data=evaluation, batch=32, **BARE
    )
    assert any(trial.stopped_after is not None for trial in result.history)
    assert result.metrics[0].interval is not None


def test_several_goals_and_one_where_lower_is_better(evaluation: dict[str, Any]) -> None:
    def scores(session: intact8.Session) -> dict[str, Any]:
        wrong = session.run(evaluation["input"])["logits"].argmax(1) != evaluation["labels"]
        return {"accuracy": 1 - wrong.mean(), "wrong": wrong.sum()}

    result = intact8.quantize(
        HARD / "model.onnx", HARD / "calib.npz", evaluate=scores, metric=["accuracy=0.002", "wrong<=5"], **BARE
    )
    assert result.met is True and [metric.name for metric in result.metrics] == ["accuracy", "wrong"]
    assert [metric.target for metric in result.metrics] == ["0.002", "<=5"]
    result = intact8.quantize(
        HARD / "model.onnx",
        HARD / "calib.npz",
        evaluate=lambda session: scores(session)["wrong"],
        better="lower",
        **{**BARE, "max_drop": 2},
    )
    assert result.met is True and result.history[0].satisfied is False


def test_metrics_with_the_methods_of_torchmetrics(evaluation: dict[str, Any]) -> None:
    torch = of_torch("torch")

    class Accuracy:
        def reset(self) -> None:
            self.right = self.n = 0

        def update(self, predictions: Any, targets: Any) -> None:
            assert isinstance(predictions, torch.Tensor) and isinstance(targets, torch.Tensor)
            self.right += int((predictions.argmax(1) == targets).sum())
            self.n += len(targets)

        def compute(self) -> Any:
            return torch.tensor(self.right / self.n)

    result = intact8.quantize(
        HARD / "model.onnx", HARD / "calib.npz", evaluate=Accuracy(), evaluation_data=evaluation, **BARE
    )
    assert result.met is True and result.metrics[0].original == pytest.approx(0.994981, abs=1e-6)


def test_layers_can_be_skipped_by_patterns() -> None:
    result = intact8.quantize(
        DIGITS / "model.onnx", DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz", skip="block1.*", **FAST
    )
    arithmetic = {layer.name: layer.arithmetic for layer in result.layers}
    assert {found for name, found in arithmetic.items() if name.startswith("block1.")} == {"float"}
    with pytest.raises(ValueError, match='skip "nothing.\\*": is not a layer'):
        intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", skip="nothing.*", **FAST)


def test_own_strategies_and_sensitivities() -> None:
    class WorstFirst(intact8.Strategy):
        asked = 0

        def propose(self, ranking: Any, history: Any) -> Any:
            self.asked += 1
            return None if history[-1].satisfied else list(ranking)[: len(history)]

    class Negative(intact8.Sensitivity):
        threads: set[int] = set()

        def similarity(self, original: Any, quantized: Any) -> float:
            self.threads.add(threading.get_ident())
            assert original.dtype == np.float32 and original.shape == quantized.shape
            return -float(((original - quantized) ** 2).sum() / (original**2).sum())

    strategy = WorstFirst()
    result = intact8.quantize(
        HARD / "model.onnx",
        HARD / "calib.npz",
        evaluate=HARD / "eval.npz",
        strategy=strategy,
        sensitivity=Negative(),
        **BARE,
    )
    assert result.met is True and strategy.asked >= 2 and Negative.threads
    assert [len(trial.rolled_back) for trial in result.history] == list(range(len(result.history)))


def test_a_configuration_may_be_a_mapping_and_groups_move_together(tmp_path: Path) -> None:
    first = intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", save=tmp_path / "m", **BARE)
    final = json.loads((tmp_path / "m_final_config.json").read_text())
    options = {name: value for name, value in BARE.items() if name not in ("prefer", "without")}
    again = intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", config=final, **options)
    assert again.ending == "all quantized" and again.deploy == first.deploy
    together = ["block1.conv2", "stem.conv"]
    grouped = intact8.quantize(
        HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", groups=[together], **BARE
    )
    assert set(together) <= {layer.name for layer in grouped.layers if layer.rolled_back}
    with pytest.raises(ValueError, match='group: "nothing" is not a layer'):
        intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", groups=[["nothing"]], **BARE)


def test_limits_confidence_and_the_ladder() -> None:
    quantize = lambda **kwargs: intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", **{**BARE, **kwargs})  # noqa: E731
    data = HARD / "eval.npz"
    assert quantize(evaluate=data, max_trials=1).ending == "out of trials"
    assert quantize(evaluate=data, time_budget=1e-6).ending == "out of time"
    with pytest.raises(RuntimeError, match="at a confidence of 95 % the noise of 797 samples alone exceeds the goal"):
        quantize(evaluate=data, confidence=0.95)
    assert quantize(evaluate=data, confidence="95%", max_drop=0.02).metrics[0].confidence == 0.95
    climbed = quantize(evaluate=data, ladder="int16")
    assert climbed.met is True and any("int16" in trial["ladder"].values() for trial in climbed.raw["trials"])


def test_bytes_are_converted_by_mean_and_deviation(images: Any) -> None:
    pixels = np.round(images * 255).astype(np.uint8)
    floats = (pixels.astype(np.float32) - np.float32(0)) / np.float32(255)
    expected = intact8.quantize(DIGITS / "model.onnx", floats, **FAST)
    assert intact8.quantize(DIGITS / "model.onnx", pixels, mean=0, std=255, **FAST).deploy == expected.deploy
    with pytest.raises(ValueError, match="uint8|u8|bytes"):
        intact8.quantize(DIGITS / "model.onnx", pixels, **FAST)


def test_a_missed_target_and_the_closest_model() -> None:
    def fake(path: str) -> float:
        return 1.0 if Path(path) == HARD / "model.onnx" else 0.5

    result = intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=fake, max_trials=2, **BARE)
    assert result.met is False and result.verdict == "missed"
    with pytest.raises(intact8.InputError, match="the target was missed"):
        _ = result.deploy
    kept = intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=fake, max_trials=2, keep_best=True, **BARE)
    assert kept.met is False and kept.deploy


def test_the_result_is_saved_and_shown(tmp_path: Path) -> None:
    result = intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz", **FAST)
    written = result.save(tmp_path / "out" / "digits")
    assert str(tmp_path / "out" / "digits_deploy_model.onnx") in written
    assert (tmp_path / "out" / "digits_deploy_model.onnx").read_bytes() == result.deploy
    assert json.loads((tmp_path / "out" / "digits_report.json").read_text())["target_met"] is True
    page = (tmp_path / "out" / "digits_report.html").read_text(encoding="utf-8")
    assert result.report() == page and ">Target met<" in page
    assert html.escape(page) in result._repr_html_()
    assert "the target is met" in repr(result) and "top1" in repr(result)
    where = tmp_path / "direct" / "m"
    direct = intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz", save=where, **FAST)
    assert direct.deploy_path == f"{where}_deploy_model.onnx" and direct.deploy == result.deploy


def test_a_result_without_a_score_has_a_page() -> None:
    result = intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", **FAST)
    page = result.report()
    assert "nothing was scored" in page and ">SQNR<" in page and "stem.conv" in page
    assert html.escape(page) in result._repr_html_()


@pytest.mark.parametrize("goal", ["top1", "sqnr>=90", None])
def test_reports_follow_their_schema(goal: Optional[str], tmp_path: Path) -> None:
    schema = json.loads((Path(__file__).resolve().parents[2] / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    path = tmp_path / "m"
    scored = {"evaluate": HARD / "eval.npz", "metric": goal} if goal else {}
    intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", save=path, **scored, **BARE)
    report = json.loads((tmp_path / "m_report.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, schema, jsonschema.Draft202012Validator)
    for wrong in ["yes"] if goal else ["yes", True]:
        report["target_met"] = wrong
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(report, schema, jsonschema.Draft202012Validator)


def test_progress_is_reported() -> None:
    events: list[dict[str, Any]] = []
    intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz", callback=events.append, **FAST)
    stages = [event["text"] for event in events if event["event"] == "stage"]
    [trial] = [event["text"] for event in events if event["event"] == "trial"]
    assert trial.startswith("trial 1: met with 0 of ") and "top1 0.99" in trial
    assert "scoring the original" in stages and any("calibrating" in stage for stage in stages)
    assert any(event["event"] == "progress" and event["total"] for event in events)


def test_the_runtime_of_this_environment_verifies_and_measures() -> None:
    result = intact8.quantize(DIGITS / "model.onnx", DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz")
    assert result.raw["runtime"].startswith("ONNX Runtime ")
    assert result.latency is not None and result.latency.measured_by.startswith("ONNX Runtime ")
    scored = intact8.quantize(
        DIGITS / "model.onnx", DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz", runtime="onnxruntime", measure_latency=False
    )
    assert scored.met is True


def test_the_import_is_fast_and_loads_no_array_library() -> None:
    code = "import sys, intact8; print([name for name in ('numpy', 'onnx', 'onnxruntime', 'torch') if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
