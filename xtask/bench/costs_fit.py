"""A time of an operator as a sum of parts per unit of work, fitted to measured times."""

import numpy as np

PARTS = ["node", "product", "tap", "column", "group", "input", "output", "weight"]
# Errors of less time than this, in nanoseconds, have no meaning.
NOISE = 1500


class Cost:
    """A time as a sum of parts, fitted to the times of works. Errors are relative to `references`, or to the times."""

    def __init__(self, works=(), times=(), references=0):
        self.parts, self.error = dict.fromkeys(PARTS, 0.0), ""
        if not len(works):
            return
        times = np.maximum(times, 0)
        weights = 1 / np.maximum(np.maximum(times, references), NOISE)
        rows = np.array([[work.get(part, 0) for part in PARTS] for work in works], float)
        for part in range(1, len(PARTS)):
            if any((rows[:, part] == rows[:, earlier]).all() for earlier in range(part)):
                rows[:, part] = 0
        sizes = np.maximum(rows.max(0), 1)
        found = non_negative(rows / sizes * weights[:, None], times * weights) / sizes
        found[found * sizes < 1] = 0
        self.parts = {part: rounded(value) for part, value in zip(PARTS, found)}
        low, middle, high = np.percentile((rows @ found - times) * weights * 100, [5, 50, 95])
        self.error = f"{middle:+.0f} % ({low:+.0f} to {high:+.0f})"

    def of(self, work):
        return sum(each * work.get(part, 0) for part, each in self.parts.items())

    def plus(self, other):
        both = Cost()
        both.parts = {part: rounded(self.parts[part] + other.parts[part]) for part in PARTS}
        return both

    def rust(self):
        parts = (np.format_float_positional(value, trim="0") for value in self.parts.values())
        return f"Cost::new([{', '.join(parts)}])" if any(self.parts.values()) else "Cost::FREE"


def rounded(value):
    return float(f"{value:.3g}")


def non_negative(rows, times):
    """The non-negative least squares solution, by coordinate descent."""
    gram, right = rows.T @ rows, rows.T @ times
    found = np.zeros(rows.shape[1])
    for _ in range(20000):
        for part in np.flatnonzero(np.diag(gram)):
            rest = right[part] - gram[part] @ found + gram[part, part] * found[part]
            found[part] = max(0.0, rest / gram[part, part])
    return found
