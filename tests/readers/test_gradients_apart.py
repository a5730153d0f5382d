"""Gradients that were logged apart are part of their run; nothing of one seed is ever made part of another."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from making_events import HISTOGRAMS, of_tensor, scalar
from making_growth import content_of, grow
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_tensor_proto

from plateau_doctor.readers import read
from plateau_doctor.readers.remote import Place
from plateau_doctor.readers.survey import MOST_IN_A_HOME
from plateau_doctor.report import describe
from plateau_doctor.run import Run
from plateau_doctor.scanning import Scan, parts

STEPS = range(20)
EVENTS = "events.out.tfevents.1"


def gradients(steps: Sequence[int] = STEPS, time: float = 1000.0) -> bytes:
    held: list[Event] = []
    for i in steps:
        rows = make_tensor_proto(np.array([[-1.0 - i, 0.0, 3.0], [0.0, 1.0, 4.0]]))
        held += [of_tensor("conv/kernel/gradient", rows, HISTOGRAMS, i), scalar("grad_norm", i, 1.0 + i)]
    for event in held:
        event.wall_time = time + event.step
    return content_of(held)


def losses(seed: int = 0, steps: Sequence[int] = STEPS) -> list[float]:
    return [
        round(2.0 / (1 + i) + 0.1 * float(np.random.default_rng(seed + 99 * i).random()), 6) for i in steps
    ]


def table(seed: int = 0, steps: Sequence[int] = STEPS) -> bytes:
    rows = (f"{step},{loss}\n" for step, loss in zip(steps, losses(seed, steps), strict=True))
    return f"step,loss\n{''.join(rows)}".encode()


def events(seed: int = 0) -> bytes:
    return content_of([scalar("loss", step, loss) for step, loss in zip(STEPS, losses(seed), strict=True)])


def runs_of(folder: Path, contents: dict[str, bytes]) -> dict[str, Run]:
    """Write logs, and return the runs that are read from them by name; a scan finds the same ones."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    runs = {one.name: one for one in read(folder) if isinstance(one, Run)}
    scan = Scan([Place(folder)])
    scanned = {one.run.name: one.run for one in scan.with_curves(tuple(scan.runs()))}
    assert {n: len(run.histograms) for n, run in scanned.items()} == {
        n: len(r.histograms) for n, r in runs.items()
    }
    return runs


TOGETHER = {
    "a table, and events in a folder below": {
        "run7/metrics.csv": table(),
        f"run7/grads/{EVENTS}": gradients(),
    },
    "a table and events in one folder": {"run7/metrics.csv": table(), f"run7/{EVENTS}": gradients()},
    "folders side by side": {"run7/csv/metrics.csv": table(), f"run7/tensorboard/{EVENTS}": gradients()},
    "events and events": {f"run7/{EVENTS}": events(), f"run7/gradients/{EVENTS}": gradients()},
    "folders of logs above the run": {
        "csv_logs/run7/metrics.csv": table(),
        f"tb_logs/run7/{EVENTS}": gradients(),
    },
    "the run logged twice": {
        "run7/csv/metrics.csv": table(),
        f"run7/tensorboard/{EVENTS}": events(),
        f"run7/grads/{EVENTS}": gradients(),
    },
    "gradients every fifth step": {
        "run7/metrics.csv": table(),
        f"run7/grads/{EVENTS}": gradients(STEPS[::5]),
    },
}


@pytest.mark.parametrize("layout", TOGETHER)
def test_gradients_in_a_folder_of_their_own_are_part_of_the_run(tmp_path: Path, layout: str) -> None:
    (run,) = runs_of(tmp_path, TOGETHER[layout]).values()
    assert run.scalars["value"][run.scalars["tag"] == "loss"].tolist() == pytest.approx(losses())
    count = 4 if "fifth" in layout else len(STEPS)
    assert run.histograms["step"].tolist() == run.scalars["step"][run.scalars["tag"] == "grad_norm"].tolist()
    assert len(run.histograms) == count
    for row in run.histograms.itertuples():
        assert run.bins[row.first_bin : row.first_bin + row.n_bins][0].tolist() == [-1.0 - row.step, 0.0, 3.0]
    assert "taken in" in describe([run], "text")


def test_a_table_of_gradient_norms_alone_is_part_of_the_run(tmp_path: Path) -> None:
    norms = "step,grad_norm\n" + "".join(f"{step},{1 + step}\n" for step in STEPS)
    (run,) = runs_of(tmp_path, {"run7/metrics.csv": table(), "run7/grads/norms.csv": norms.encode()}).values()
    assert set(run.scalars["role"]) == {"train_loss", "grad_norm"}


def test_each_seed_has_its_own_gradients(tmp_path: Path) -> None:
    contents = {}
    for seed in range(4):
        contents[f"seed{seed}/metrics.csv"] = table(seed)
        contents[f"seed{seed}/grads/{EVENTS}"] = gradients(range(20 + seed))
    runs = runs_of(tmp_path, contents)
    assert {name: len(run.histograms) for name, run in runs.items()} == {
        f"seed{seed}/metrics.csv": 20 + seed for seed in range(4)
    }


APART = {
    "another seed's": {"seed1/metrics.csv": table(1), f"seed2/grads/{EVENTS}": gradients()},
    "another seed's, below its parent": {"metrics.csv": table(1), f"seed2/{EVENTS}": gradients()},
    "of one of two seeds in a folder": {
        "run/seed1.csv": table(1),
        "run/seed2.csv": table(2),
        f"run/grads/{EVENTS}": gradients(),
    },
    "of one of two trainings in a file": {
        "run/metrics.csv": table(1) + table(2).partition(b"\n")[2],
        f"run/grads/{EVENTS}": gradients(),
    },
    "counted otherwise": {"run/metrics.csv": table(), f"run/grads/{EVENTS}": gradients(range(0, 2000, 100))},
    "of a shorter run": {"run/metrics.csv": table(), f"run/grads/{EVENTS}": gradients(STEPS[:12])},
    "of another day": {f"run/{EVENTS}": events(), f"run/grads/{EVENTS}": gradients(time=90_000.0)},
    "in a folder that may be a run": {"run/metrics.csv": table(), f"run/adam/{EVENTS}": gradients()},
}


@pytest.mark.parametrize("case", APART)
def test_gradients_that_may_be_of_another_run_stay_apart(tmp_path: Path, case: str) -> None:
    runs = runs_of(tmp_path, APART[case])
    for run in runs.values():
        assert len(run.histograms) == 0 or "loss" not in set(run.scalars["tag"])
        assert "joined" not in run.reasons
    assert len(runs) == len(APART[case]) + (case == "of one of two trainings in a file")


@pytest.mark.parametrize("kinds", [("csv", "tensorboard"), ("", "tb"), ("logs", "events")])
def test_a_run_logged_twice_in_folders_of_its_own_is_one(tmp_path: Path, kinds: tuple[str, str]) -> None:
    contents = {}
    for seed in range(3):
        contents[str(Path(f"seed{seed}", kinds[0], "metrics.csv"))] = table(seed)
        contents[str(Path(f"seed{seed}", kinds[1], EVENTS))] = events(seed)
    runs = runs_of(tmp_path, contents)
    assert len(runs) == 3
    assert all("same values" in run.reasons["joined"] for run in runs.values())


def state(seed: int = 0) -> bytes:
    """The losses as transformers' Trainer keeps them."""
    history = [{"step": step, "loss": loss} for step, loss in zip(STEPS, losses(seed), strict=True)]
    return json.dumps({"global_step": len(history), "max_steps": 20, "log_history": history}).encode()


STAMP = "Dec01_16-25-3{}_host"


def test_what_a_trainer_logs_to_a_checkpoint_and_to_events_is_one_run(tmp_path: Path) -> None:
    contents = {}
    for seed in range(2):
        contents[f"out{seed}/checkpoint-20/trainer_state.json"] = state(seed)
        contents[f"out{seed}/runs/{STAMP.format(seed)}/{EVENTS}"] = events(seed)
    runs = runs_of(tmp_path, contents)
    assert len(runs) == 2
    assert all("same values" in run.reasons["joined"] for run in runs.values())


def test_of_a_trainer_started_twice_the_second_is_a_run_of_its_own(tmp_path: Path) -> None:
    contents = {f"out/runs/{STAMP.format(i)}/{EVENTS}": events(i) for i in range(2)}
    runs = runs_of(tmp_path, {**contents, "out/checkpoint-20/trainer_state.json": state(1)})
    assert sorted("joined" in run.reasons for run in runs.values()) == [False, True]
    (one,) = [run for run in runs.values() if "joined" in run.reasons]
    assert one.scalars["value"].tolist() == pytest.approx(losses(1))


def test_of_a_resumed_trainer_the_whole_curve_is_kept(tmp_path: Path) -> None:
    """Two event files, each of a part, beside the state of all steps: none of them holds what the state does."""
    more = [scalar("train/epoch", step, step / 10) for step in range(12)]
    first = content_of([scalar("train/loss", i, losses()[i]) for i in range(16)] + more)
    second = content_of([scalar("train/loss", i, losses()[i]) for i in range(15, 20)] + more)
    parts = {f"out/runs/{STAMP.format(i)}/{EVENTS}": part for i, part in enumerate((first, second))}
    runs = runs_of(tmp_path, {**parts, "out/checkpoint-20/trainer_state.json": state()})
    whole = [run for run in runs.values() if run.format == "huggingface"]
    assert [len(run.scalars) for run in whole] == [20]


def test_a_checkpoint_that_the_events_went_on_from_is_no_other_run(tmp_path: Path) -> None:
    old = json.loads(state())
    old |= {"log_history": old["log_history"][:6], "global_step": 6}
    logs = {
        f"out/runs/{STAMP.format(0)}/{EVENTS}": events(),
        "out/checkpoint-6/trainer_state.json": json.dumps(old),
    }
    (run,) = runs_of(tmp_path, {k: v.encode() if isinstance(v, str) else v for k, v in logs.items()}).values()
    assert len(run.scalars) == 20


@pytest.mark.parametrize("odd", [[math.nan] * 10, [1.5] * 10, [1.9, 1.8, *[math.nan] * 8]], ids=str)
def test_a_trainer_whose_evaluation_says_nothing_is_one_run(tmp_path: Path, odd: list[float]) -> None:
    told = json.loads(state())
    told["log_history"] += [{"step": 2 * i, "eval_loss": value} for i, value in enumerate(odd)]
    logged = [scalar("train/loss", i, loss) for i, loss in enumerate(losses())]
    logged += [scalar("eval/loss", 2 * i, value) for i, value in enumerate(odd)]
    logged += [scalar("train/epoch", i, i / 10) for i in STEPS]
    logs = {f"out/runs/{STAMP.format(0)}/{EVENTS}": content_of(logged)}
    runs = runs_of(tmp_path, {**logs, "out/checkpoint-20/trainer_state.json": json.dumps(told).encode()})
    assert len(runs) == 1


def test_two_runs_of_one_seed_in_a_writers_own_folders_stay_two(tmp_path: Path) -> None:
    contents = {f"out/runs/{STAMP.format(i)}/{EVENTS}": events() for i in range(2)}
    assert len(runs_of(tmp_path / "a", contents)) == 2
    assert len(runs_of(tmp_path / "b", {**contents, "out/checkpoint-20/trainer_state.json": state()})) == 2


def test_runs_with_the_same_values_in_folders_of_different_runs_stay_apart(tmp_path: Path) -> None:
    assert len(runs_of(tmp_path, {"seed1/csv/metrics.csv": table(), f"seed2/tb/{EVENTS}": events()})) == 2


def test_a_scan_in_many_parts_joins_what_a_reading_joins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST_UNITS", 1)
    contents = {}
    for seed in range(3):
        contents[f"csv/seed{seed}/metrics.csv"] = table(seed)
        contents[f"grads/seed{seed}/{EVENTS}"] = gradients()
    assert all(len(run.histograms) == len(STEPS) for run in runs_of(tmp_path, contents).values())


def test_nothing_is_joined_among_too_many_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_UNITS", 2)  # in the last part is one table, which is not the only one
    contents = {f"run/{i}.csv": table(i) for i in range(MOST_IN_A_HOME + 1)}
    runs = runs_of(tmp_path, {**contents, f"run/grads/{EVENTS}": gradients()})
    assert len(runs) == len(contents) + 1
    found, _ = parts.parts_of([Place(tmp_path)])
    assert {len(part.units) for part in found} == {2}


def test_a_run_that_grows_beside_its_gradients_is_followed(tmp_path: Path) -> None:
    grow(tmp_path, {"run7/metrics.jsonl": table_as_lines(), f"run7/grads/{EVENTS}": gradients()}, seed=2)


def table_as_lines() -> bytes:
    return "".join(f'{{"step": {s}, "loss": {v}}}\n' for s, v in zip(STEPS, losses(), strict=True)).encode()
