"""Times of the nodes of a model on one thread, from the profiler of a runtime."""

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


RUNTIMES = {"onnxruntime": OnnxRuntime}
