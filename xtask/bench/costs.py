"""Measures the times of operators in float and in int8 on one thread, and writes the table of a runtime, in Rust.

    python costs.py RUNTIME FOLDER [OPERATOR...]

RUNTIME is a key of RUNTIMES; the file in FOLDER is named after it and the processor's architecture. Every operator
runs on random shapes; the profiler of the runtime gives the times of its nodes, from which the time that the profiler itself needs
is subtracted. Where a runtime fuses functions with products, differences of whole runs give the times of functions. Each time in the table is a sum of parts per unit of work (crates/quant/src/placement/work.rs), fitted by
non-negative least squares of relative errors. With OPERATORs, only these are measured, and nothing is written.
"""

import pathlib
import platform
import subprocess
import sys

from costs_bench import CONTEXTS, Bench
from costs_fit import PARTS
from costs_fused import FusedBench
from costs_profiles import OnnxRuntime, OpenVino
from costs_shapes import CONVOLUTIONS, FUNCTIONS

# Each runtime with the way in which it is measured.
RUNTIMES = {"onnxruntime": (OnnxRuntime, Bench), "openvino": (OpenVino, FusedBench)}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
        if line.startswith("flags"):
            found = [flag for flag in ["avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"] if flag in line.split()]
    return f"{name} ({', '.join(found)})"


def table(bench, architecture):
    """The Rust file."""
    runtime, (quantize, dequantize), (cached, uncached) = bench.runtime, bench.conversions(), bench.cache()
    name = f"{runtime.name.upper().replace(' ', '')}_{architecture.upper()}"
    lines = [
        f"//! The times of {runtime.name} {runtime.version} on {architecture}, one thread of an {processor()}.",
        "//!",
        "//! Made by `cargo xtask bench --costs`; do not edit. A comment is the median error of a fit, with the 5th and 95th",
        f"//! percentiles. {bench.method()} Parts are",
        f"//! per {', '.join(PARTS)}.",
        "",
        "use super::costs::{Cost, OperatorCosts, Result8, RuntimeCosts};",
        "use super::work::Shape;",
        "",
        f"pub(crate) static {name}: RuntimeCosts = RuntimeCosts {{ operators: &[",
    ]
    for ops, shape, costs, result in bench.rows:
        ops = ", ".join(f'"{op}"' for op in ops)
        lines.append(f"OperatorCosts {{ ops: &[{ops}], shape: Shape::{shape},")
        for context, cost in zip(CONTEXTS, costs):
            lines.append(f"{context}: {cost.rust()}," + (f" // {cost.error}" if cost.error else ""))
        lines.append(f"result: Result8::{result} }},")
    lines += ["],", f"quantize: {quantize.rust()}, // {quantize.error}", f"dequantize: {dequantize.rust()}, // {dequantize.error}"]
    lines += [f"fuses_biases: {str(runtime.fuses_biases).lower()},", f"cached: {cached:_},", f"uncached: {uncached!r},", "};", ""]
    return "\n".join(lines)


def main(name, folder, *wanted):
    runtime, bench = RUNTIMES[name]
    bench = bench(runtime(), wanted)
    print(bench.floors, bench.trivial, bench.least)
    for kind in CONVOLUTIONS:
        if bench.is_wanted("Conv", kind):
            bench.convolution(kind)
    for op, shape in [("Gemm", "Any"), ("MatMul", "Any"), ("MatMul", "Activations")]:
        if bench.is_wanted(op):
            bench.matrices(op, shape)
    for row in FUNCTIONS:
        if bench.is_wanted(row["op"]):
            bench.function(**row)
    if not wanted:
        architecture = {"x86_64": "x86", "AMD64": "x86", "aarch64": "arm"}.get(platform.machine(), platform.machine())
        path = pathlib.Path(folder) / f"{name}_{architecture}.rs"
        path.write_text(table(bench, architecture))
        subprocess.run(["rustfmt", "--edition", "2024", path], check=True)


main(*sys.argv[1:])
