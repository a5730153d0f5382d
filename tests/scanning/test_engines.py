"""The same scan on a real Ray cluster and on a real Dask cluster, by address."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plateau_doctor.cli import _run
from plateau_doctor.readers.remote import Place
from plateau_doctor.runners.spread import Engine
from plateau_doctor.scanning import Scan

LOGS = Path(__file__).parents[2] / "examples" / "logs"
FINDINGS, USAGE = 1, 2
NAMES = ["healthy", "vanishing_gradients"]
PATHS = [str(LOGS / name) for name in NAMES]


@pytest.fixture(params=["ray", "dask"])
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A cluster of two cores that runs already, for joblib works on one core here: its engine and its address."""
    if request.param == "dask":
        distributed = pytest.importorskip("distributed")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, env={"PYTHONPATH": ":".join(sys.path)}
        ) as running:
            yield "dask", running.scheduler_address
        return
    ray = pytest.importorskip("ray")
    monkeypatch.setenv(
        "RAY_worker_niceness", "0"
    )  # its workers would wait for whatever else the machine does
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    ray.init(num_cpus=2, log_to_driver=False, configure_logging=False, include_dashboard=False)
    yield "ray", ray.get_runtime_context().gcs_address
    ray.shutdown()


def test_a_cluster_that_runs_gives_the_same_bytes(
    cluster: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plateau_doctor.scanning.parts.MOST_UNITS", 1)
    name, address = cluster
    monkeypatch.chdir(LOGS)  # the cluster works in another folder than the user
    assert _run(["analyze", *NAMES, "--format", "jsonl"]) == FINDINGS
    here = capsys.readouterr().out
    options = ["--runner", name, "--runner-option", f"address={address}"]
    assert _run(["analyze", *NAMES, "--format", "jsonl", *options]) == FINDINGS
    assert capsys.readouterr().out == here


def test_dask_starts_a_cluster_of_its_own_where_none_is_named() -> None:
    pytest.importorskip("distributed")
    places = [Place(Path(path)) for path in PATHS]
    own = [one.run.name for one in Scan(places, engine=Engine("dask", 1)).runs()]
    assert own == [one.run.name for one in Scan(places).runs()]


def test_no_cluster_at_an_address_is_a_letter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("plateau_doctor.runners.dask.PATIENCE", 1)
    options = ["--runner", "dask", "--runner-option", "address=127.0.0.1:9"]
    assert _run(["analyze", *PATHS, *options]) == USAGE
    assert "no Dask scheduler answers at 127.0.0.1:9" in capsys.readouterr().err
