"""Ray and submitit behind the same seam as the local runner: real ones, where they are installed."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plateau_doctor.letters import UsageError
from plateau_doctor.runners import Job, Runner


@pytest.fixture(params=["ray", "slurm"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    if request.param == "slurm":
        pytest.importorskip("submitit")
        from plateau_doctor.runners.slurm import Slurm

        yield Slurm({"gpus_per_node": 0}, "local")
        return
    ray = pytest.importorskip("ray")
    from plateau_doctor.runners.ray import Ray

    yield Ray(gpus=0)
    ray.shutdown()


def job(folder: Path, name: str, code: str) -> Job:
    return Job(
        name, (sys.executable, "-S", "-c", code), str(folder / name), timeout=60, directory=str(folder)
    )


def test_jobs_end_as_they_do_on_this_machine(runner: Runner, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "good", "print('out')"), job(tmp_path, "bad", "raise ValueError('bad shape')")]
    ended = {one.name: how for one, how in runner.run(jobs)}
    assert (ended["good"].how, ended["good"].code) == ("by itself", 0)
    assert ended["bad"].code == 1
    assert ended["bad"].tail.endswith("ValueError: bad shape")
    assert (tmp_path / "good" / "stdout.txt").read_text() == "out\n"


def test_closing_it_leaves_nothing_running(runner: Runner, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    slow = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    wait = f"import os, time\nwhile not os.path.exists({str(pid)!r}): time.sleep(0.05)"
    running = runner.run([job(tmp_path, "slow", slow), job(tmp_path, "wait", wait)])
    assert next(running)[0].name == "wait"
    running.close()
    for _ in range(50):  # a job elsewhere is told to end, and takes its moment
        if not alive(int(pid.read_text())):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid.read_text()} still runs")


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("module", "home"), [("ray", "Ray"), ("submitit", "Slurm")])
def test_a_package_that_is_not_installed_is_a_letter(
    module: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    from plateau_doctor.runners import ray, slurm

    with pytest.raises(UsageError, match="pip install 'plateau-doctor"):
        {"Ray": ray.Ray, "Slurm": slurm.Slurm}[home]()
