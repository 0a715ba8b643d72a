"""Times of the nodes of a model, and of whole runs, on one thread of a runtime."""

import json
import os
import pathlib
import tempfile
import time

import numpy as np

SECONDS, LEAST, MOST, SESSIONS = 0.05, 12, 200, 3


def repeat(run):
    """Calls `run` with the number of runs before, until the time is spent; the number of runs."""
    start, n_runs = time.monotonic(), 0
    while n_runs < LEAST or time.monotonic() - start < SECONDS and n_runs < MOST:
        run(n_runs)
        n_runs += 1
    return n_runs


def of_fastest(times):
    """The mean of each node in the fastest third of its runs."""
    return np.sort(times, 0)[: len(times) // 3].mean(0)


class OnnxRuntime:
    """Its profiler counts whole microseconds, rounded down."""

    name = "ONNX Runtime"
    products = {
        *["Conv", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul"],
        *["MatMulIntegerToFloat", "QGemm", "QLinearConv", "QLinearMatMul"],
    }
    # The operators whose result is float, or integers at no further cost.
    returns_floats = ["Gemm", "MatMul"]
    # Whether averages become convolutions in int8.
    pools_by_convolution = True
    # Whether an Add of a constant after a product in int8 is part of it.
    fuses_biases = False

    def __init__(self):
        import onnxruntime

        self.ort, self.version = onnxruntime, onnxruntime.__version__

    def session(self, model, profile):
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level, options.enable_profiling = 4, profile
        options.profile_file_prefix = str(pathlib.Path(tempfile.gettempdir()) / f"costs{os.getpid()}")
        return self.ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def time(self, model, feeds):
        """The nanoseconds of a run without a profiler."""
        session, times = self.session(model, False), []
        for _ in range(300):
            start = time.perf_counter_ns()
            session.run(None, feeds[0])
            times.append(time.perf_counter_ns() - start)
        return float(np.quantile(times, 0.1))

    def nodes(self, model, feeds):
        """The nodes of a run in their order: operators and nanoseconds."""
        found = []
        for _ in range(SESSIONS):
            session = self.session(model, True)
            n_runs = repeat(lambda idx: session.run(None, feeds[idx % len(feeds)]))
            path = session.end_profiling()
            events = json.loads(pathlib.Path(path).read_text())
            os.remove(path)
            events = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
            n_nodes = len(events) // n_runs
            found.append(of_fastest(np.array([event["dur"] for event in events]).reshape(n_runs, n_nodes)))
            names = [event["args"]["op_name"] for event in events[:n_nodes]]
        return list(zip(names, 1e3 * (np.min(found, 0) + 0.5)))


class OpenVino:
    """Its profiler counts whole microseconds, rounded down, and fuses most functions with the products before them."""

    name = "OpenVINO"
    products = {"Convolution", "FullyConnected", "GroupConvolution", "MatMul"}
    returns_floats = ["Conv", "Gemm", "MatMul"]
    pools_by_convolution = False
    fuses_biases = True

    def __init__(self):
        import openvino

        self.openvino, self.core = openvino, openvino.Core()
        self.version = openvino.__version__.split("-")[0]

    def request(self, model, profile):
        options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": profile}
        return self.core.compile_model(self.core.read_model(model), "CPU", options).create_infer_request()

    def time(self, model, feeds):
        """The nanoseconds of a run without a profiler."""
        found = []
        for _ in range(SESSIONS):
            request, times = self.request(model, False), []
            request.infer(feeds[0])

            def run(_):
                start = time.perf_counter_ns()
                request.infer()
                times.append(time.perf_counter_ns() - start)

            repeat(run)
            found.append(np.quantile(times, 0.1))
        return float(np.min(found))

    def nodes(self, model, feeds):
        """The nodes in their order: kinds and nanoseconds. The profiler has the mean of all runs."""
        found = []
        for _ in range(SESSIONS):
            request = self.request(model, True)
            repeat(lambda idx: request.infer(feeds[idx % len(feeds)]))
            nodes = request.profiling_info
            found.append([node.real_time.microseconds for node in nodes])
        times = np.min(found, 0)
        # What takes less than a microsecond is listed as what was fused with another node.
        return [(node.node_type, 1e3 * (time + 0.5 * (time > 0))) for node, time in zip(nodes, times)]
