"""PyTorch: modules as models, and the calls of AMCT for them. CONTRIBUTING.md tells how they are run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import intact8
import numpy as np
import pytest
from conftest import DIGITS, of_torch

torch = of_torch("torch")


class Block(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(width, width, 3, padding=1)
        self.bn = torch.nn.BatchNorm2d(width)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.bn(self.conv(x))) + x


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(1, 12, 3, padding=1)
        self.mid = torch.nn.Conv2d(12, 12, 3, padding=1)
        self.body = torch.nn.Sequential(Block(12), Block(12))
        self.heads = torch.nn.ModuleList([torch.nn.Linear(12 * 16, 10)])

    def forward(self, x: Any) -> Any:
        x = torch.nn.functional.max_pool2d(self.body(torch.relu(self.mid(torch.relu(self.stem(x))))), 2)
        return self.heads[0](x.flatten(1))


@pytest.fixture(scope="module")
def data() -> Any:
    """Training and test images with labels, from those that the bundled networks were not trained on."""
    found = np.load(DIGITS / "eval.npz")
    images, labels = torch.from_numpy(found["input"]), torch.from_numpy(found["labels"])
    return (images[:500], labels[:500]), (images[500:], labels[500:])


@pytest.fixture(scope="module")
def net(data: Any) -> Any:
    """A network that was trained for some seconds, of which one channel has a scale that int8 can't hold together with the others."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, (images, labels) = Net(), data[0]
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        # A channel of the stem is a thousand times as large, and its user divides by it: the same function.
        model.stem.weight[0] *= 1000
        model.stem.bias[0] *= 1000
        model.mid.weight[:, 0] /= 1000
    return model


def accuracy(model: Any, data: Any) -> float:
    images, labels = data
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def test_layers_of_a_module_are_named_after_modules(net: Any) -> None:
    names = [layer.name for layer in intact8.inspect(net, example_inputs=torch.zeros(1, 1, 8, 8)) if layer.quantizable]
    assert {"stem", "mid", "body.0.conv", "body.1.conv", "heads.0"} <= set(names)


def test_a_module_is_quantized_with_a_data_loader(net: Any, data: Any) -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data[0]), batch_size=50, shuffle=True)
    (images, labels) = data[1]

    def metric(outputs: Any, targets: Any) -> Any:
        return (outputs.argmax(1) == targets).mean()

    result = intact8.quantize(
        net,
        loader,
        evaluate=metric,
        evaluation_data=torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=64),
        max_drop=0.02,
        example_inputs=(torch.zeros(1, 1, 8, 8),),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}},
        measure_latency=False,
    )
    assert result.met is True
    assert result.metrics[0].original == pytest.approx(accuracy(net, data[1]), abs=1e-6)
    assert "heads.0" in {layer.name for layer in result.layers}
    logits = intact8.run(result.deploy, {"image": images})["logits"]
    assert (logits.argmax(1) == labels.numpy()).mean() == pytest.approx(result.metrics[0].result, abs=0.01)


def test_dynamic_shapes_are_exported_by_torch_export(net: Any, images: Any) -> None:
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 5):
        with pytest.raises(ValueError, match="dynamic_shapes requires torch 2.5"):
            intact8.quantize(net, images, example_inputs=torch.zeros(2, 1, 8, 8), dynamic_shapes={"x": {0: "n"}})
        return
    of_torch("onnxscript")
    result = intact8.quantize(
        net,
        images,
        example_inputs=torch.zeros(2, 1, 8, 8),
        dynamic_shapes={"x": {0: torch.export.Dim("n")}},
        opset=18,
        measure_latency=False,
        prefer="most-int8",
    )
    assert {"stem", "mid", "body.0.conv", "body.1.conv"} <= {layer.name for layer in result.layers}
    found = intact8.run(result.deploy, images[:7])
    [logits] = found.values()
    with torch.no_grad():
        expected = net(torch.from_numpy(images[:7]))
    assert logits.shape == (7, 10) and bool((torch.from_numpy(logits).argmax(1) == expected.argmax(1)).float().mean() > 0.7)


def test_real_torchmetrics(net: Any, data: Any) -> None:
    torchmetrics = of_torch("torchmetrics")
    metric = torchmetrics.classification.MulticlassAccuracy(num_classes=10, average="micro")
    images, labels = data[1]
    result = intact8.quantize(
        net,
        data[0][0],
        evaluate=metric,
        evaluation_data=((images[i : i + 50], labels[i : i + 50]) for i in range(0, len(images), 50)),
        max_drop=0.05,
        example_inputs=torch.zeros(1, 1, 8, 8),
        dynamic_axes={"x": {0: "n"}},
        input_names=["x"],
        measure_latency=False,
    )
    assert result.metrics[0].original == pytest.approx(accuracy(net, data[1]), abs=1e-6)


def test_what_is_wrong_with_a_module_is_said(net: Any, images: Any) -> None:
    with pytest.raises(ValueError, match="is exported with example_inputs"):
        intact8.quantize(net, images)
    with pytest.raises(ValueError, match="in training mode; call eval"):
        intact8.inspect(Net().train(), example_inputs=torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="are for a torch.nn.Module"):
        intact8.quantize(DIGITS / "model.onnx", images, example_inputs=torch.zeros(1))


def script(folder: Path, net: Any, data: Any, two_arguments: bool, max_loss: float) -> list[Any]:
    """The calls of AMCT's page in their order, with the blanks filled in; returns the visits of the evaluator."""
    import intact8.amct

    intact8.amct.install()
    import amct_pytorch as amct
    from amct_pytorch.common.auto_calibration import AutoCalibrationEvaluatorBase

    visits: list[Any] = []
    calibration_data, evaluation_data = data
    batch_num = 3

    class DigitsEvaluator(AutoCalibrationEvaluatorBase):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.diff = max_loss

        if two_arguments:

            def calibration(self, model_file: Any, weights_file: Any) -> None:
                assert weights_file is None
                self._calibrate(model_file)

            def evaluate(self, model_file: Any, weights_file: Any) -> float:
                assert weights_file is None
                return self._score(model_file)

        else:

            def calibration(self, model: Any) -> None:
                self._calibrate(model)

            def evaluate(self, model: Any) -> float:
                return self._score(model)

        def _calibrate(self, model: Any) -> None:
            visits.append(("calibration", model))
            order = torch.randperm(len(calibration_data[0]))
            with torch.no_grad():
                for idx in range(batch_num):
                    outputs = model(calibration_data[0][order[64 * idx : 64 * idx + 64]])
                    assert outputs.shape == (64, 10)

        def _score(self, model: Any) -> float:
            assert isinstance(model, torch.nn.Module)
            visits.append(("evaluate", model))
            return accuracy(model.cpu().eval(), evaluation_data)

        def metric_eval(self, original_metric: Any, new_metric: Any) -> Any:
            loss = np.float64(original_metric - new_metric)
            return loss < self.diff, loss

    input_data = (torch.rand(1, 1, 8, 8),)
    config_json_file = str(folder / "config.json")
    amct.create_quant_config(config_json_file, net, input_data, [], batch_num)
    content = json.loads(Path(config_json_file).read_text())
    # AMCT has none of these; with them every layer of this network can be int8.
    content.update(equalize=False, auto_balance=False, correct_bias=False, fit_rounding=False)
    for layer in content.values():
        if isinstance(layer, dict):
            layer["weight_quant_params"]["channel_wise"] = False
    Path(config_json_file).write_text(json.dumps(content))
    amct.accuracy_based_auto_calibration(
        model=net,
        model_evaluator=DigitsEvaluator(),
        config_file=config_json_file,
        record_file=str(folder / "scale_offset_record.txt"),
        save_dir=str(folder / "result" / "model"),
        input_data=input_data,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch_size"}, "output": {0: "batch_size"}},
        strategy="BinarySearch",
        sensitivity="CosineSimilarity",
    )
    return visits


@pytest.mark.parametrize("two_arguments", [True, False])
def test_the_script_of_amcts_page_runs(net: Any, data: Any, two_arguments: bool, tmp_path: Path) -> None:
    visits = script(tmp_path, net, data, two_arguments, max_loss=0.01)
    assert [name for name, _ in visits].count("calibration") == 1
    assert next(visit for visit in visits if visit[0] == "evaluate") == ("evaluate", net)
    assert ("calibration", net) in visits
    result = tmp_path / "result"
    history = json.loads((result / "accuracy_based_auto_calibration_record.json").read_text())
    first, last = history[0], history[-1]
    assert set(first["roll_back_config"]) >= {"stem", "mid", "body.0.conv", "body.1.conv", "heads.0"}
    assert first["metric_eval"][0] is False and any(trial["metric_eval"][0] for trial in history), history
    final = json.loads((result / "accuracy_based_auto_calibration_final_config.json").read_text())
    assert not final["mid"]["quant_enable"]
    assert last is not first
    ranking = json.loads((result / "accuracy_based_auto_calibration_ranking_information.json").read_text())
    assert [pair[1] for pair in ranking] == sorted(pair[1] for pair in ranking)
    assert 'key: "heads.0"' in (tmp_path / "scale_offset_record.txt").read_text()
    # The deploy model keeps the target in ONNX Runtime, with the names that were asked for.
    import onnxruntime

    session = onnxruntime.InferenceSession(result / "model_deploy_model.onnx", providers=["CPUExecutionProvider"])
    assert [session.get_inputs()[0].name, session.get_outputs()[0].name] == ["input", "output"]
    images, labels = data[1]
    logits = session.run(None, {"input": images.numpy()})[0]
    assert accuracy(net, data[1]) - (logits.argmax(1) == labels.numpy()).mean() < 0.01
    assert (result / "model_fake_quant_model.onnx").exists()


def test_quantization_without_a_search(net: Any, data: Any, tmp_path: Path) -> None:
    import intact8.amct as amct

    inputs = torch.rand(1, 1, 8, 8)
    files = {name: str(tmp_path / name) for name in ("config.json", "modified.onnx", "record.txt")}
    amct.create_quant_config(files["config.json"], net, inputs, ["stem"], 2)
    assert not json.loads((tmp_path / "config.json").read_text())["stem"]["quant_enable"]
    axes = {"input": {0: "n"}, "output": {0: "n"}}
    module = amct.quantize_model(
        files["config.json"], files["modified.onnx"], files["record.txt"], net, inputs, ["input"], ["output"], axes
    )
    with pytest.raises(RuntimeError, match="record_file is empty"):
        amct.save_model(files["modified.onnx"], files["record.txt"], str(tmp_path / "m"))
    with torch.no_grad():
        for idx in range(2):
            module(x=data[0][0][50 * idx : 50 * idx + 50])
    amct.save_model(files["modified.onnx"], files["record.txt"], str(tmp_path / "m"))
    assert (tmp_path / "m_deploy_model.onnx").exists() and (tmp_path / "m_fake_quant_model.onnx").exists()
    with pytest.raises(ValueError, match="there is no layer 'absent'"):
        amct.create_quant_config(files["config.json"], net, inputs, ["absent"])


def test_names_after_modules_are_unique() -> None:
    from intact8._torch import module_names

    nodes = ["/fc/MatMul", "/fc/Add", "/layer/layer.0/conv/Conv", "/Relu", "plain", "/fc_1/Gemm"]
    names = module_names(nodes, {"fc", "layer", "layer.0", "layer.0.conv"})
    assert names == {
        "/fc/MatMul": "fc",
        "/fc/Add": "fc.Add",
        "/layer/layer.0/conv/Conv": "layer.0.conv",
        # A second call of the module.
        "/fc_1/Gemm": "fc.Gemm",
    }


def test_modules_may_be_compiled_or_called_twice_and_inputs_arrays_of_numpy(net: Any) -> None:
    expected = [layer.name for layer in intact8.inspect(net, example_inputs=torch.zeros(2, 1, 8, 8))]
    for module in [torch.compile(net), torch.nn.DataParallel(net)]:
        found = intact8.inspect(module, example_inputs=np.zeros((2, 1, 8, 8), np.float32))
        assert [layer.name for layer in found] == expected

    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.fc(torch.relu(self.fc(x)))

    layers = intact8.inspect(Twice().eval(), example_inputs=torch.zeros(1, 4))
    assert [layer.name for layer in layers if layer.op == "Gemm"] == ["fc", "fc.Gemm"]


@pytest.mark.parametrize("tensor", ["bfloat16", "half", "double", "requires_grad_"])
def test_tensors_of_other_types_are_calibration_data(net: Any, data: Any, tensor: str) -> None:
    images = getattr(data[0][0][:64].clone(), tensor)()
    result = intact8.quantize(net, [images], example_inputs=torch.zeros(1, 1, 8, 8), measure_latency=False)
    assert result.met is None and result.deploy


def test_tensors_without_elements_are_refused(net: Any) -> None:
    with pytest.raises(intact8.InputError, match="^calibration: batch 1: is no array: Cannot copy out of meta tensor"):
        intact8.quantize(net, [torch.empty(1, 1, 8, 8, device="meta")], example_inputs=torch.zeros(1, 1, 8, 8))


def test_a_calibration_that_runs_no_batch_is_explained(net: Any, tmp_path: Path) -> None:
    import intact8.amct as amct

    class Idle(amct.AutoCalibrationEvaluatorBase):
        def calibration(self, model: Any) -> None:  # type: ignore[override]
            pass

        def evaluate(self, model: Any) -> float:  # type: ignore[override]
            return 1.0

        def metric_eval(self, original_metric: Any, new_metric: Any) -> Any:
            return True, 0.0

    file, inputs = str(tmp_path / "c.json"), torch.zeros(1, 1, 8, 8)
    amct.create_quant_config(file, net, inputs)
    with pytest.raises(ValueError, match="calibration has run no batch; call the module that it receives"):
        amct.accuracy_based_auto_calibration(net, Idle(), file, str(tmp_path / "r"), str(tmp_path / "m"), inputs)
