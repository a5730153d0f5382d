"""What the wrap of a trial costs a step: `python benchmarks/overhead.py [--pairs N] [--script NAME]...`.

The same script trains in two processes, by itself and as the control arm of a trial. They take turns, an epoch each.
What counts is the lower quartile of the epochs' processor time, their evaluation on held-out data included, for other
load only ever adds to it. Where its arrays happen to lie makes one process faster than the next by up to 7 %, so there
are several pairs, and the mean over them is printed with its standard error. A third process, that trains by itself as
well, shows what the comparison finds where there is nothing to find.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, quantiles, stdev

from plateau_doctor.trials.environment import environment
from plateau_doctor.trials.order import Order

HERE = Path(__file__).parent / "scripts"
SCRIPTS = {
    "torch": ("paced_torch.py", {}),
    "keras/tensorflow": ("paced_keras.py", {"KERAS_BACKEND": "tensorflow"}),
    "keras/jax": ("paced_keras.py", {"KERAS_BACKEND": "jax"}),
    "keras/torch": ("paced_keras.py", {"KERAS_BACKEND": "torch"}),
}
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
QUIET = {**dict.fromkeys(THREADS, "1"), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
WARM_UP = 2  # epochs: the first ones compile


class Child:
    """One process that trains an epoch at a time."""

    def __init__(self, script: str, blocks: int, extra: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), str(blocks + 1)],
            env={**os.environ, **QUIET, **extra},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.used = self._heard()

    def epoch(self) -> float:
        """Let it train an epoch, and return the processor time that took, in seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        before, self.used = self.used, self._heard()
        return self.used - before

    def end(self) -> None:
        """Stop it, wherever it is."""
        self.process.kill()
        self.process.wait()

    def _heard(self) -> float:
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())


def measured(name: str, blocks: int) -> list[float]:
    """Return the processor time of an epoch by itself, by itself once more, and under the wrap, in seconds."""
    script, extra = SCRIPTS[name]
    with tempfile.TemporaryDirectory() as folder:
        order = Order(folder)
        order.write()
        wrapped = {**extra, **environment(order)}
        children = [Child(script, blocks, variables) for variables in (extra, extra, wrapped)]
        try:
            epochs = [[child.epoch() for child in children] for _ in range(blocks)][WARM_UP:]
        finally:
            for child in children:
                child.end()
    return [quantiles(own)[0] for own in zip(*epochs, strict=True)]


def told(ratios: list[float]) -> str:
    """Return the mean of ratios and its standard error, in percent."""
    return f"{mean(ratios) - 1:+.1%} ± {stdev(ratios) / len(ratios) ** 0.5:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=14, help="epochs of each process")
    parser.add_argument("--script", choices=SCRIPTS, action="append")
    options = parser.parse_args()
    print(f"{platform.machine()}, one thread, epochs of 50 steps and 10 batches of evaluation, CPU time")
    print(f"{'script':<18} {'pairs':>5} {'alone ms/step':>14} {'overhead':>15} {'of nothing':>15}")
    for name in options.script or SCRIPTS:
        found = [measured(name, options.blocks) for _ in range(options.pairs)]
        wrap = [wrapped / ((one + other) / 2) for one, other, wrapped in found]
        nothing = [other / one for one, other, _ in found]
        alone = 1000 * mean(one for one, _, _ in found) / 50
        print(
            f"{name:<18} {len(found):>5} {alone:>14.1f} {told(wrap):>15} {told(nothing):>15}",
            flush=True,
        )


if __name__ == "__main__":
    main()
