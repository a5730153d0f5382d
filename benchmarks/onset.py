"""How near the onset of a plateau is found, on curves whose change point is known.

    python benchmarks/onset.py [--curves 600]

A curve falls from 2.3 (or from a warm-up hump above it) along a power of the remaining way, so that it still falls
visibly where it breaks off, and is flat from there to the end. Some rest on a shelf on the way, some fall in one
step where the rate is cut, just before they go flat. Noise is 0 to 6 % of the fall for a single point, 20 to 5,000
points, plateaus from the last 15 % to the last 80 % of the run. Printed is the error as a share of the run's length.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from plateau_doctor.plateau import find_plateaus
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.series import curve_of

KINDS = ("plain", "warm-up", "shelf", "rate step")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=int, default=600)
    args = parser.parse_args()
    found: dict[str, list[float | None]] = defaultdict(list)
    for kind, values, onset in curves(args.curves):
        error = error_of(values, onset)
        found[kind].append(error)
        found["all"].append(error)
    print(f"{'curves':12s} {'n':>5s} {'seen':>6s} {'median':>8s} {'90 %':>8s}")
    for kind in (*KINDS, "all"):
        errors = [e for e in found[kind] if e is not None]
        low, high = np.median(errors), np.quantile(errors, 0.9)
        print(
            f"{kind:12s} {len(found[kind]):5d} {len(errors) / len(found[kind]):6.0%} {low:8.1%} {high:8.1%}"
        )


def curves(number: int) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield kind, values (n,) and onset as a share of the run; always the same."""
    rng = np.random.default_rng(7)
    for i in range(number):
        kind, n, onset = (
            KINDS[i % 4],
            int(np.exp(rng.uniform(np.log(20), np.log(5000)))),
            rng.uniform(0.2, 0.85),
        )
        t = np.arange(n) / (n - 1)
        fall = rng.uniform(0.4, 2.0)
        way = np.clip(t / onset, 0, 1)
        if kind == "shelf":  # half-way down it rests for a fifth of the way
            way = np.where(way < 0.4, way, np.where(way < 0.6, 0.4, (way - 0.2) / 0.8))
            way = np.where(way >= 0.5, (way - 0.5) * 0.6 / 0.5 + 0.4, way)
        values = 2.3 - fall * (1 - (1 - way) ** rng.uniform(1.0, 1.6))
        if kind == "warm-up":
            values += 0.5 * fall * np.exp(-(((t - 0.03) / 0.03) ** 2))
        if kind == "rate step":
            values -= 0.3 * fall * (t >= onset)
        noise = rng.choice([0.0, 0.01, 0.03, 0.06])
        yield kind, values + rng.normal(0, 1, n) * noise * fall, onset


def error_of(values: np.ndarray, onset: float) -> float | None:
    """Return how far the last plateau's start is from the onset, None where none reaches the end."""
    rows = [{"tag": "train/loss", "role": "train_loss", "step": i, "value": v} for i, v in enumerate(values)]
    curve = curve_of(Run("curve", "curve", "made", scalar_frame(rows)), "train_loss")
    found = find_plateaus(curve) if curve is not None else ()
    if curve is None or not found or found[-1].end_step < curve.bin_steps[-1]:
        return None
    return abs(found[-1].start_step / (len(values) - 1) - onset)


if __name__ == "__main__":
    main()
