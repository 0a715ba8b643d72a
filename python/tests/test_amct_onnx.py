"""The calls of AMCT for ONNX models."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import intact8.amct.onnx as amct
import numpy as np
import onnxruntime as ort
import pytest
from conftest import DIGITS, HARD
from intact8.amct.common.auto_calibration import (
    AutoCalibrationEvaluatorBase,
    AutoCalibrationStrategyBase,
    SensitivityBase,
)

MODEL = str(HARD / "model.onnx")


class Evaluator(AutoCalibrationEvaluatorBase):
    """One argument, as real scripts have, and NumPy's booleans."""

    def __init__(self, max_loss: float = 0.002) -> None:
        self.max_loss, self.calls = max_loss, []  # type: ignore[var-annotated]

    def calibration(self, model_file: str) -> None:  # type: ignore[override]
        self.calls.append(("calibration", model_file))
        session = ort.InferenceSession(model_file, amct.AMCT_SO)
        images = np.load(HARD / "calib.npz")["input"]
        for idx in range(6):
            session.run(None, {"input": images[32 * idx : 32 * idx + 32]})

    def evaluate(self, model_file: str) -> Any:  # type: ignore[override]
        self.calls.append(("evaluate", model_file))
        data = np.load(HARD / "eval.npz")
        logits = ort.InferenceSession(model_file, amct.AMCT_SO).run(None, {"input": data["input"]})[0]
        return (logits.argmax(1) == data["labels"]).mean()

    def metric_eval(self, original_metric: Any, new_metric: Any) -> Any:
        loss = np.float64(original_metric - new_metric)
        return loss < self.max_loss, loss


class OfCaffe(Evaluator):
    """The signature of the base class on AMCT's page."""

    def calibration(self, model_file: str, weights_file: Any) -> None:  # type: ignore[override]
        assert weights_file is None
        super().calibration(model_file)

    def evaluate(self, model_file: str, weights_file: Any) -> Any:  # type: ignore[override]
        assert weights_file is None
        return super().evaluate(model_file)


def config(folder: Path, **kwargs: Any) -> str:
    """AMCT's own behaviour: no preparation beyond folding."""
    path = folder / "config.json"
    amct.create_quant_config(str(path), MODEL, batch_num=4, **kwargs)
    content = json.loads(path.read_text())
    content.update(equalize=False, auto_balance=False, correct_bias=False, fit_rounding=False)
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("kind", [Evaluator, OfCaffe])
def test_the_search_rolls_back_layers_and_writes_amct_files(kind: Any, tmp_path: Path) -> None:
    evaluator, file = kind(), config(tmp_path)
    before = Path(file).read_bytes()
    found = amct.accuracy_based_auto_calibration(
        MODEL, evaluator, file, str(tmp_path / "record.txt"), str(tmp_path / "out" / "m")
    )
    assert found is None and Path(file).read_bytes() == before
    assert [name for name, _ in evaluator.calls].count("calibration") == 1
    assert next(call for call in evaluator.calls if call[0] == "evaluate") == ("evaluate", MODEL)
    out = tmp_path / "out"
    assert (out / "m_deploy_model.onnx").exists() and (out / "m_fake_quant_model.onnx").exists()
    final = json.loads((out / "accuracy_based_auto_calibration_final_config.json").read_text())
    ranking = json.loads((out / "accuracy_based_auto_calibration_ranking_information.json").read_text())
    assert not final["block4.conv2"]["quant_enable"] and not final["block1.conv2"]["quant_enable"]
    assert {ranking[0][0], ranking[1][0]} == {"block4.conv2", "block1.conv2"}
    assert 'key: "stem.conv"' in (tmp_path / "record.txt").read_text()
    history = json.loads((out / "accuracy_based_auto_calibration_record.json").read_text())
    assert history[0]["metric_eval"][0] is False and history[-1]["metric_eval"][0] is True


def test_without_verification_each_trial_is_scored_once(tmp_path: Path) -> None:
    evaluator, file = Evaluator(), config(tmp_path)
    amct.accuracy_based_auto_calibration(
        MODEL, evaluator, file, str(tmp_path / "record.txt"), str(tmp_path / "m"), verify=False
    )
    history = json.loads((tmp_path / "accuracy_based_auto_calibration_record.json").read_text())
    # The original, and each trial.
    assert [name for name, _ in evaluator.calls].count("evaluate") == 1 + len(history)


class WorstFirst(AutoCalibrationStrategyBase):
    """Rolls back one more layer each time, and stops after the first success."""

    def initialize(self, ranking_info: dict[str, float]) -> None:
        self.layers, self.n = list(ranking_info), 0
        assert list(ranking_info.values()) == sorted(ranking_info.values())

    def update_quant_config(self, metric_eval: tuple[bool, float]) -> dict[str, Any]:
        assert type(metric_eval[0]) is bool and type(metric_eval[1]) is float
        self.n += not metric_eval[0]
        rolled_back = {layer: idx >= self.n for idx, layer in enumerate(self.layers)}
        return {"stop_flag": metric_eval[0], "roll_back_config": rolled_back}


class Cosine(SensitivityBase):
    def compare(self, data: Any, other: Any) -> float:
        data, other = self.normalize_data(data), self.normalize_data(other)
        return float(data @ other / np.sqrt((data @ data) * (other @ other)))


def test_own_strategies_and_sensitivities(tmp_path: Path) -> None:
    amct.accuracy_based_auto_calibration(
        MODEL, Evaluator(), config(tmp_path), str(tmp_path / "r.txt"), str(tmp_path / "m"), WorstFirst(), Cosine()
    )
    history = json.loads((tmp_path / "accuracy_based_auto_calibration_record.json").read_text())
    n_in_float = [list(trial["roll_back_config"].values()).count(False) for trial in history]
    assert n_in_float == list(range(len(history))) and history[-1]["metric_eval"][0] is True


def test_a_missed_target_returns_none_and_writes_no_model(tmp_path: Path) -> None:
    class Impossible(Evaluator):
        def metric_eval(self, original_metric: Any, new_metric: Any) -> Any:
            return original_metric is new_metric, 1.0

    found = amct.accuracy_based_auto_calibration(
        MODEL, Impossible(), config(tmp_path), str(tmp_path / "r.txt"), str(tmp_path / "m")
    )
    assert found is None and not list(tmp_path.glob("*.onnx"))


def test_what_does_not_fit_is_an_error(tmp_path: Path) -> None:
    arguments = (str(tmp_path / "r.txt"), str(tmp_path / "m"))
    with pytest.raises(ValueError, match="'stem.conv' is there twice"):
        config(tmp_path, skip_layers=["stem.conv", "stem.conv"])
    with pytest.raises(ValueError, match="there is no layer 'nothing'"):
        config(tmp_path, skip_layers=["nothing"])
    with pytest.raises(ValueError, match="config_file must be a path, found 7"):
        amct.create_quant_config(7, MODEL)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="model_evaluator must be an AutoCalibrationEvaluatorBase"):
        amct.accuracy_based_auto_calibration(MODEL, object(), config(tmp_path), *arguments)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="strategy must be"):
        amct.accuracy_based_auto_calibration(MODEL, Evaluator(), config(tmp_path), *arguments, strategy=7)
    with pytest.raises(ValueError, match='there is no strategy "Guess"'):
        amct.accuracy_based_auto_calibration(MODEL, Evaluator(), config(tmp_path), *arguments, strategy="Guess")
    with pytest.raises(RuntimeError, match="the original model misses the target itself"):
        amct.accuracy_based_auto_calibration(MODEL, Evaluator(-1.0), config(tmp_path), *arguments)

    class Lazy(Evaluator):
        def calibration(self, model_file: str) -> None:  # type: ignore[override]
            session = ort.InferenceSession(model_file)
            session.run(None, {"input": np.load(HARD / "calib.npz")["input"][:32]})

    with pytest.raises(ValueError, match="the calibration data have 1 batches, and batch_num is 4"):
        amct.accuracy_based_auto_calibration(MODEL, Lazy(), config(tmp_path), *arguments)

    class Idle(Evaluator):
        def calibration(self, model_file: str) -> None:  # type: ignore[override]
            pass

    with pytest.raises(ValueError, match="calibration has run no batch; make a session of the file that it receives"):
        amct.accuracy_based_auto_calibration(MODEL, Idle(), config(tmp_path), *arguments)
    with pytest.raises(ValueError, match="batch_num must be a whole number of at least 1, found '3'"):
        amct.create_quant_config(str(tmp_path / "c.json"), MODEL, batch_num="3")  # type: ignore[arg-type]

    class Vague(Evaluator):
        def metric_eval(self, original_metric: Any, new_metric: Any) -> Any:
            return "yes", "no"

    with pytest.raises(RuntimeError, match="metric_eval, as its loss, returned the text 'no'; return a number"):
        amct.accuracy_based_auto_calibration(MODEL, Vague(), config(tmp_path), *arguments)

    class Failing(Evaluator):
        def evaluate(self, model_file: str) -> Any:  # type: ignore[override]
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        amct.accuracy_based_auto_calibration(MODEL, Failing(), config(tmp_path), *arguments)


def test_the_definition_wins_with_a_warning(tmp_path: Path) -> None:
    definition = tmp_path / "short.cfg"
    definition.write_text('batch_num : 2\nskip_layers : "stem.conv"\n')
    with pytest.warns(UserWarning, match="skip_layers is ignored"):
        amct.create_quant_config(str(tmp_path / "c.json"), MODEL, ["block1.conv1"], config_defination=str(definition))
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["batch_num"] == 2
    assert not content["stem.conv"]["quant_enable"] and content["block1.conv1"]["quant_enable"]


def test_calibration_alone_and_conversions(tmp_path: Path) -> None:
    file, modified, record = str(tmp_path / "c.json"), str(tmp_path / "modified.onnx"), str(tmp_path / "record.txt")
    model = str(DIGITS / "model.onnx")
    amct.create_quant_config(file, model, batch_num=2, updated_model=str(tmp_path / "updated.onnx"))
    assert (tmp_path / "updated.onnx").exists()
    amct.quantize_model(file, model, modified, record)
    with pytest.raises(RuntimeError, match="record_file is empty: the model was run 0 times, and batch_num is 2"):
        amct.save_model(modified, record, str(tmp_path / "m"))
    session = ort.InferenceSession(modified, amct.AMCT_SO)
    images = np.load(DIGITS / "calib.npz")["input"]
    for idx in range(2):
        session.run(["logits"], {"input": images[64 * idx : 64 * idx + 64]})
    amct.save_model(modified, record, str(tmp_path / "m"))
    deploy = tmp_path / "m_deploy_model.onnx"
    logits = ort.InferenceSession(deploy).run(None, {"input": images})[0]
    expected = ort.InferenceSession(model).run(None, {"input": images})[0]
    assert (logits.argmax(1) == expected.argmax(1)).mean() > 0.98
    with pytest.raises(RuntimeError, match="quantize_model was not called"):
        amct.save_model(modified, record, str(tmp_path / "m"))
    with pytest.raises(RuntimeError, match="no layer has a dmq_balancer_param"):
        amct.quantize_preprocess(file, record, model, modified)
    amct.convert_qat_model(str(deploy), str(tmp_path / "q" / "m"), str(tmp_path / "qat_record.txt"))
    assert (tmp_path / "q" / "m_deploy_model.onnx").exists() and 'key: "stem.conv"' in (tmp_path / "qat_record.txt").read_text()


def test_amcts_names_are_installed() -> None:
    code = """
        import intact8.amct
        intact8.amct.install()
        import amct_onnx as amct
        from amct_pytorch.common.auto_calibration import AutoCalibrationEvaluatorBase
        import amct_pytorch
        print(amct.__name__, amct_pytorch.__name__, AutoCalibrationEvaluatorBase.__module__)
    """
    printed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ["intact8.amct.onnx", "intact8.amct", "intact8.amct.common.auto_calibration"]


def test_the_ready_made_evaluator_feeds_raw_files(tmp_path: Path) -> None:
    images = np.load(DIGITS / "calib.npz")["input"]
    (tmp_path / "bin").mkdir()
    for idx in range(3):
        images[16 * idx : 16 * idx + 16].tofile(tmp_path / "bin" / f"{idx}.bin")
    evaluator = amct.ModelEvaluator(str(tmp_path / "bin"), "input:16,1,8,8", "float32")
    file, modified, record = str(tmp_path / "c.json"), str(tmp_path / "modified.onnx"), str(tmp_path / "record.txt")
    amct.create_quant_config(file, str(DIGITS / "model.onnx"), batch_num=3)
    amct.quantize_model(file, str(DIGITS / "model.onnx"), modified, record)
    evaluator.calibration(modified, 3)
    amct.save_model(modified, record, str(tmp_path / "m"))
    evaluator.evaluate(str(tmp_path / "m_deploy_model.onnx"), 1)
    with pytest.raises(ValueError, match="has 1024 values, and the shape"):
        amct.ModelEvaluator(str(tmp_path / "bin"), "input:15,1,8,8", "float32").calibration(modified)
