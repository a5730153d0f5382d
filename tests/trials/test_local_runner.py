"""The local runner: how jobs end, and that nothing of them is left running, whatever they do."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from plateau_doctor.runners import Ended, Job
from plateau_doctor.runners import process as process_module
from plateau_doctor.runners.local import Local
from plateau_doctor.runners.process import MARK, execute


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "GRACE", 0.3)


def job(folder: Path, code: str, timeout: float | None = 20.0, name: str = "arm") -> Job:
    return Job(name, (sys.executable, "-S", "-c", textwrap.dedent(code)), str(folder / name), timeout=timeout)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_in(file: Path) -> int:
    for _ in range(500):
        if file.is_file() and file.read_text().endswith("\n"):
            return int(file.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{file} was never written")


def test_a_job_that_ends_well_says_its_code_time_and_memory(tmp_path: Path) -> None:
    ended = execute(
        job(tmp_path, "import sys, time; print('out'); print('err', file=sys.stderr); time.sleep(0.5)")
    )  # long enough to be seen
    assert (ended.how, ended.code, ended.tail) == ("by itself", 0, "err")
    assert 0 < ended.seconds < 20
    assert 1e6 < ended.peak_memory < 1e9
    assert (tmp_path / "arm" / "stdout.txt").read_text() == "out\n"


def test_a_crash_keeps_the_tail_of_its_stderr(tmp_path: Path) -> None:
    ended = execute(
        job(tmp_path, "import sys; print('x' * 9000, file=sys.stderr); raise ValueError('bad shape')")
    )
    assert ended.code == 1
    assert ended.tail.endswith("ValueError: bad shape")
    assert len(ended.tail) <= process_module.TAIL


def test_a_program_that_is_not_there_is_an_outcome(tmp_path: Path) -> None:
    ended = execute(Job("arm", ("no-such-program-here",), str(tmp_path)))
    assert ended == Ended("not started", tail="no-such-program-here: No such file or directory")


def test_peak_memory_is_that_of_the_child(tmp_path: Path) -> None:
    small = execute(job(tmp_path, "import time; time.sleep(0.3)", name="small")).peak_memory
    large = execute(
        job(tmp_path, "import time; x = b'1' * 100_000_000; time.sleep(0.4)", name="large")
    ).peak_memory
    assert large - small > 80_000_000


def test_a_time_out_ends_even_a_script_that_ignores_sigterm(tmp_path: Path) -> None:
    code = """
        import signal, time, os
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open('pid', 'w').write(f'{os.getpid()}\\n')
        time.sleep(60)
    """
    ended = execute(job(tmp_path, f"import os; os.chdir({str(tmp_path)!r})\n" + textwrap.dedent(code), 0.5))
    assert (ended.how, ended.code) == ("timed out", -signal.SIGKILL)
    assert not alive(pid_in(tmp_path / "pid"))


@pytest.mark.parametrize("leaves", ["", "os.setsid()"], ids=["in its group", "in a session of its own"])
def test_what_a_script_forked_does_not_outlive_it(tmp_path: Path, leaves: str) -> None:
    code = f"""
        import os, signal, time
        if os.fork() == 0:
            {leaves or "pass"}
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open({str(tmp_path / "pid")!r}, 'w').write(f'{{os.getpid()}}\\n')
            time.sleep(60)
        while not os.path.exists({str(tmp_path / "pid")!r}):
            time.sleep(0.01)
    """
    ended = execute(job(tmp_path, code))
    assert (ended.how, ended.code) == ("by itself", 0)
    assert not alive(pid_in(tmp_path / "pid"))


def test_a_script_that_deletes_its_folder_still_ends_with_its_tail(tmp_path: Path) -> None:
    code = f"import shutil, sys; shutil.rmtree({str(tmp_path / 'arm')!r}); print('gone', file=sys.stderr)"
    ended = execute(job(tmp_path, code))
    assert (ended.code, ended.tail) == (0, "gone")


def test_closing_the_runner_kills_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    sleep = "import os, time; open({!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    jobs = [
        job(tmp_path, "pass", name="quick"),
        job(tmp_path, sleep.format(str(tmp_path / "slow.pid")), name="slow"),
        job(tmp_path, sleep.format(str(tmp_path / "never.pid")), name="never"),
    ]
    running = Local(gpus=(), jobs=2).run(jobs[:2])
    assert next(running)[0].name == "quick"
    pid = pid_in(tmp_path / "slow.pid")
    running.close()
    assert not alive(pid)
    assert not (tmp_path / "never.pid").exists()


def test_each_gpu_is_given_to_one_job_at_a_time(tmp_path: Path) -> None:
    code = """
        import os, time
        print(os.environ['CUDA_VISIBLE_DEVICES'], time.time())
        time.sleep(0.2)
        print(time.time())
    """
    runner = Local(gpus=("3", "5"))
    assert (runner.slots, runner.device) == (2, "GPU 3, 5")
    done = list(runner.run([job(tmp_path, code, name=f"arm{i}") for i in range(4)]))
    spans: dict[str, list[tuple[float, float]]] = {}
    for one, ended in done:
        assert ended.code == 0
        gpu, start, end = (tmp_path / one.name / "stdout.txt").read_text().split()
        spans.setdefault(gpu, []).append((float(start), float(end)))
    assert set(spans) == {"3", "5"}
    for gpu in spans:
        (_, first_end), (second_start, _) = sorted(spans[gpu])
        assert first_end <= second_start


def test_without_a_gpu_the_cpu_is_said_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Local().device == "CPU (no GPU was found)"
    assert Local(gpus=(), jobs=3).device == "CPU, 3 arms at a time (no GPU was asked for)"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 2")
    assert Local().device == "GPU 1, 2"


def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    inner = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    )
    outer = textwrap.dedent(
        f"""
        import sys
        from plateau_doctor.runners import Job, process
        from plateau_doctor.runners.local import Local
        process.GRACE = 0.3
        job = Job("arm", (sys.executable, "-c", {inner!r}), {str(tmp_path / "arm")!r})
        try:
            list(Local(gpus=()).run([job]))
        except KeyboardInterrupt:
            sys.exit(130)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", outer])
    pid = pid_in(tmp_path / "pid")
    parent.send_signal(signal.SIGINT)
    assert parent.wait(20) == 130
    assert not alive(pid)


def test_the_mark_is_in_the_environment_of_every_job(tmp_path: Path) -> None:
    execute(job(tmp_path, f"import os; print(os.environ[{MARK!r}])"))
    assert (tmp_path / "arm" / "stdout.txt").read_text().strip() == str(tmp_path / "arm")
    assert MARK not in os.environ
