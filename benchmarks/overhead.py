"""What the wrap of a trial costs a step: `python benchmarks/overhead.py [--blocks N] [--script NAME]...`.

The same script trains in two processes, by itself and as the control arm of a trial. They take turns, an epoch each.
What counts is the lower quartile of the epochs' processor time, their evaluation on held-out data included, for other
load only ever adds to it; the ratio of neighbors is printed beside.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

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


def measured(name: str, blocks: int) -> tuple[list[float], list[float]]:
    """Return the processor times of epochs by itself, and of their neighbors under the wrap."""
    script, extra = SCRIPTS[name]
    with tempfile.TemporaryDirectory() as folder:
        order = Order(folder)
        order.write()
        children = (
            Child(script, blocks, extra),
            Child(script, blocks, {**extra, **environment(order)}),
        )
        try:
            pairs = [(children[0].epoch(), children[1].epoch()) for _ in range(blocks)][WARM_UP:]
        finally:
            for child in children:
                child.end()
    return [a for a, _ in pairs], [b for _, b in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=42)
    parser.add_argument("--script", choices=SCRIPTS, action="append")
    options = parser.parse_args()
    print(f"{platform.machine()}, one thread, epochs of 50 steps and 10 batches of evaluation, CPU time")
    print(
        f"{'script':<18} {'pairs':>5} {'alone ms/step':>14} {'overhead':>9}  of neighbors: median, quartiles"
    )
    for name in options.script or SCRIPTS:
        alone, wrapped = measured(name, options.blocks)
        low, middle, high = quantiles([b / a - 1 for a, b in zip(alone, wrapped, strict=True)])
        floor = quantiles(alone)[0]
        print(
            f"{name:<18} {len(alone):>5} {1000 * floor / 50:>14.1f} {quantiles(wrapped)[0] / floor - 1:>+9.2%}"
            f"  {middle:+.1%}, {low:+.1%} to {high:+.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
