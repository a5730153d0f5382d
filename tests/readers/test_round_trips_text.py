"""What trainers print is read again: each value and step, as the tool itself would have printed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from making_rows import FLOATS, Rows, curves_of, expected, logged, quickly, read_again


def c_number(value: float, form: str) -> str:
    """Return a number as C prints it: what is no number may have a sign."""
    return "-nan" if math.isnan(value) and math.copysign(1, value) < 0 else format(value, form)


def told_as(form: str) -> Callable[[float], float]:
    return lambda value: float(format(value, form))


@quickly
@given(rows=logged(st.sampled_from(["train loss", "val loss"]), FLOATS))
def test_the_text_of_nano_gpt(tmp_path: Path, rows: Rows) -> None:
    """As its train.py prints: estimates of both losses at some steps, the loss of a batch at others."""

    def lines() -> Iterator[str]:
        yield "number of parameters: 10.65M\nnum decayed parameter tensors: 26, with 10,740,096 parameters"
        for step, own in rows:
            estimates = [f"{name} {value:.4f}" for name, value in own.items() if name != "loss"]
            if estimates:
                yield f"step {step}: {', '.join(estimates)}"
            if "loss" in own:
                yield f"iter {step}: loss {own['loss']:.4f}, time {31.25:.2f}ms, mfu {-100:.2f}%"

    run = read_again(tmp_path, {"train.log": "\n".join(lines()) + "\n"})
    named = [(step, {name.replace(" ", "_"): v for name, v in own.items()}) for step, own in rows]
    assert curves_of(run) == expected(named, told_as(".4f"))


@quickly
@given(
    rows=logged(st.sampled_from(["tel", "eval"]), FLOATS, "trl"), rate=st.floats(0, 1), norm=st.floats(0, 1e3)
)
def test_the_main_log_of_llm_c(tmp_path: Path, rows: Rows, rate: float, norm: float) -> None:
    def lines() -> Iterator[str]:
        for step, own in rows:
            for name in [one for one in ("tel", "eval") if one in own]:
                yield f"s:{step} {name}:{c_number(own[name], '.4f')}"
            if "trl" in own:
                yield f"s:{step} trl:{c_number(own['trl'], '.4f')} lr:{rate:.6f} norm:{norm:.2f}"

    found = curves_of(read_again(tmp_path, {"main.log": "\n".join(lines()) + "\n"}))
    assert {value for _, value in found.pop("lr")} == {repr(float(f"{rate:.6f}"))}
    assert {value for _, value in found.pop("grad_norm")} == {repr(float(f"{norm:.2f}"))}
    assert found == expected(rows, told_as(".4f"))


@quickly
@given(rows=logged(st.sampled_from(["val_loss"]), FLOATS))
def test_what_llm_c_prints(tmp_path: Path, rows: Rows) -> None:
    """As train_gpt2.cu writes to the terminal; a test's loss stands in a line of its own, before the step's."""

    def lines() -> Iterator[str]:
        for step, own in rows:
            if "loss" in own:
                loss, last = c_number(own["loss"], "7.6f"), rows[-1][0]
                yield (
                    f"step {step:4d}/{last} | loss {loss} ({0.5:+.2f}z)| norm {0.25:6.4f} ({-1:+.2f}z)| "
                    f"lr {3e-4:.2e} | {31.5:.2f} ms | {50.1:.1f}% bf16 MFU | {1e5:.0f} tok/s"
                )
            if "val_loss" in own and "loss" in own:
                yield f"val loss {c_number(own['val_loss'], 'f')}"

    run = read_again(tmp_path, {"out.log": "\n".join(lines()) + "\n"})
    kept = [(step, own) for step, own in rows if "loss" in own]
    found = {tag: curve for tag, curve in curves_of(run).items() if tag in ("loss", "val_loss")}
    assert found == expected(kept, told_as("f"))
    assert {value for _, value in curves_of(run)["lr"]} == {"0.0003"}


@quickly
@given(rows=logged(st.sampled_from(["train_loss"]), FLOATS, "val_loss"))
def test_the_text_of_a_speed_run(tmp_path: Path, rows: Rows) -> None:
    script = "import torch\n@torch.compile\ndef step(3): loss = 4\n" + "=" * 100 + "\n"
    lines = [
        f"step:{step}/{rows[-1][0]} {name}:{value:.4f} train_time:{31:.0f}ms step_avg:{2.5:.2f}ms"
        for step, own in rows
        for name, value in own.items()
    ]
    run = read_again(tmp_path, {"1a2b.txt": script + "\n".join(lines) + "\n"})
    assert curves_of(run) == expected(rows, told_as(".4f"))


@quickly
@given(rows=logged(st.sampled_from(["accuracy", "loss_test", "lr"]), FLOATS))
def test_the_log_of_caffe(tmp_path: Path, rows: Rows) -> None:
    def lines() -> Iterator[str]:
        head = "I0821 09:21:08.87  5405"
        yield f"{head} solver.cpp:48] Initializing solver from parameters:"
        for step, own in rows:
            yield f"{head} solver.cpp:404] Iteration {step}, Testing net (#0)"
            if "accuracy" in own:
                yield f"{head} solver.cpp:404]     Test net output #0: accuracy = {c_number(own['accuracy'], 'g')}"
            if "loss_test" in own:
                value = c_number(own["loss_test"], "g")
                yield f"{head} solver.cpp:404]     Test net output #1: loss_test = {value} (* 1 = {value} loss)"
            if "loss" in own:
                value = c_number(own["loss"], "g")
                yield f"{head} solver.cpp:228] Iteration {step} (5.1 iter/s, 19.5s/100 iters), loss = {value}"
                yield f"{head} solver.cpp:244]     Train net output #0: loss = {value} (* 1 = {value} loss)"
            if "lr" in own:
                yield f"{head} sgd_solver.cpp:106] Iteration {step}, lr = {c_number(own['lr'], 'g')}"

    run = read_again(tmp_path, {"caffe.log": "\n".join(lines()) + "\n"})
    named = [
        (step, {"test_accuracy" if name == "accuracy" else name: v for name, v in own.items()})
        for step, own in rows
    ]
    assert curves_of(run) == expected(named, told_as("g"))
