"""A recurrent network that is run step by step: the evaluator feeds the state back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import intact8

Floats = npt.NDArray[np.float32]


def steps(session: intact8.Session, signal: Floats) -> tuple[list[Floats], list[dict[str, Floats]]]:
    """Runs a signal [T,N,C] frame by frame; returns the outputs and what was fed in each step."""
    state = np.zeros((1, signal.shape[1], 8), np.float32)
    outputs, inputs = [], []
    for frame in signal:
        inputs.append({"frame": frame[None], "state": state})
        found = session.run(inputs[-1])
        outputs.append(found["output"])
        state = found["next_state"]
    return outputs, inputs


def quantize_recurrent(model: Any, calibration: Floats, test: Floats) -> intact8.Result:
    """Quantizes the network; over whole signals the outputs must stay within 25 dB of the original's."""
    original = intact8.Session(model)
    expected = np.stack(steps(original, test)[0])

    def signal_to_noise(session: intact8.Session) -> float:
        noise = np.stack(steps(session, test)[0]) - expected
        return float(10 * np.log10((expected**2).sum() / max(float((noise**2).sum()), 1e-12)))

    return intact8.quantize(
        model,
        # The states are those that the original reaches.
        steps(original, calibration)[1],
        evaluate=signal_to_noise,
        metric="sqnr>=25",
        batch_axes=1,
    )
