"""What it costs to start: `--help` against an empty click program, `analyze` of one run against `import pandas`.

    python benchmarks/startup.py [--rounds 15]

Prints the median and best wall time of each command, run in turn, and the ratios that are promised:
`--help` at most 1.5 times the empty program, `analyze` at most 2 times `import pandas`. All modules are compiled
beforehand, as pip does with what it installs: a checkout under PYTHONDONTWRITEBYTECODE would compile its own each time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
EMPTY = "import click\n@click.group()\ndef cli():\n    'An empty program.'\ncli()"
COMMANDS = {
    "empty click program --help": [sys.executable, "-c", EMPTY, "--help"],
    "plateau-doctor --help": [sys.executable, "-m", "plateau_doctor", "--help"],
    "import pandas": [sys.executable, "-c", "import pandas"],
    "plateau-doctor analyze, one example": [
        *(sys.executable, "-m", "plateau_doctor", "analyze", "--fail-on", "never"),
        str(ROOT / "examples" / "logs" / "vanishing_gradients"),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(rounds + 1):
            for name, command in COMMANDS.items():
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
                if number:  # the first one compiles
                    seconds[name].append(time.perf_counter() - began)
    for name, times in seconds.items():
        print(f"{name:38} median {statistics.median(times):6.3f} s   best {min(times):6.3f} s")
    medians = [statistics.median(times) for times in seconds.values()]
    print(f"\n--help: {medians[1] / medians[0]:.2f} times the empty program (promised: 1.5)")
    print(f"analyze: {medians[3] / medians[2]:.2f} times import pandas (promised: 2.0)")


if __name__ == "__main__":
    main()
