"""The torch recorder in processes of their own: several that train one model, mixed precision, and a killed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plateau_doctor.readers import read
from plateau_doctor.run import Run

from .test_keras import values_in

pytest.importorskip("torch")
ROOT = Path(__file__).parent.parent.parent

DISTRIBUTED = """
import hashlib, os, sys
import torch
from torch.nn.parallel import DistributedDataParallel
from plateau_doctor.recorders.torch import Recorder

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)

def trained(recorded):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    model = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    recorder = Recorder(model, optimizer, f"{folder}/log/{rank}", every=3) if recorded else None
    torch.manual_seed(1 + rank)  # each process has data of its own
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))
        loss.backward()
        optimizer.step()
        if recorder:
            recorder.log(loss_step=loss)
    if recorder:
        recorder.log(epoch=1, loss=loss)
        recorder.close()
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest()

print(trained(True), trained(False), flush=True)
torch.distributed.barrier()  # one that leaves while the other still waits can bring it down
torch.distributed.destroy_process_group()
os._exit(0)  # past the interpreter's end: a thread of gloo that still asks for the lock then aborts the process
"""

KILLED = """
import os, signal, sys
import torch
from plateau_doctor.recorders.torch import Recorder

model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
recorder = Recorder(model, optimizer, sys.argv[1], every=10)
for step in range(41):
    torch.nn.functional.mse_loss(model(torch.ones(4, 2)), torch.ones(4, 1)).backward()
    optimizer.step()
    recorder.log(loss_step=1.0 + step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a script in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(line, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_of_two_processes_the_first_records_and_both_train_alike_to_the_bit(tmp_path: Path) -> None:
    both = [started(DISTRIBUTED, rank, tmp_path) for rank in (0, 1)]
    told = [one.communicate(timeout=240) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    hashes = {one for said, _ in told for one in said.split()}
    assert len(hashes) == 1
    assert [one.name for one in (tmp_path / "log").iterdir()] == ["0"]
    found = values_in(tmp_path / "log" / "0")
    assert list(found["gradient_norm/00_0/weight"]) == [1, 2, 3, 4, 7, 10]  # of `module.0.weight`
    assert {"activations/00_1", "train/loss"} <= set(found)


def test_a_killed_training_leaves_all_that_was_recorded_before(tmp_path: Path) -> None:
    killed = started(KILLED, tmp_path)
    _, told = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, told
    (run,) = [one for one in read(tmp_path) if isinstance(one, Run)]
    assert not run.problems
    losses = run.scalars[run.scalars.tag == "train/loss_step"]
    assert losses.step.tolist() == [1, 11, 21, 31, 41]
    assert losses.value.tolist() == [1, 11, 21, 31, 41]
    assert run.histograms[run.histograms.kind == "weight"].step.max() == 41
