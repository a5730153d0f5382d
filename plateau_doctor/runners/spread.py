"""A function of many parts, spread over processes of this machine or over a cluster, through joblib's back-ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

__all__ = ["ENGINES", "Engine", "spread"]

ENGINES = ("local", "ray", "dask")
AHEAD = 2  # parts that wait for each process: enough that none is idle, few enough that memory stays small
AT_ONCE = 4  # parts for each process that Ray is given together
Part = TypeVar("Part")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Engine:
    """Where parts are worked on.

    Attributes:
        name: Processes of this machine, a Ray cluster, or a Dask cluster.
        jobs: Parts at a time; on a cluster as many as it has cores when None, else one.
        address: Of a cluster that runs; without one, Ray's or Dask's own on this machine.
    """

    name: Literal["local", "ray", "dask"] = "local"
    jobs: int | None = None
    address: str | None = None

    @property
    def here(self) -> bool:
        """Whether the work is done in this very process."""
        return self.name == "local" and (self.jobs or 1) == 1


def spread(
    function: Callable[[Part], Iterable[Found]], parts: Sequence[Part], engine: Engine
) -> Generator[Iterable[Found], None, None]:
    """Yield what the function gives of each part, in the order of the parts, as soon as it is there.

    In this process it is given on as it is made, elsewhere as a list.

    Raises:
        UsageError: The engine is not installed, or no cluster answers at its address.
    """
    if engine.here or not parts:
        yield from map(function, parts)
        return
    from joblib import Parallel, delayed, parallel_config

    task = delayed(_deaf if engine.name == "local" else _listed)
    with _connected(engine) as (backend, jobs), parallel_config(backend, n_jobs=jobs):
        if engine.name != "ray":
            ahead = f"{AHEAD}*n_jobs"
            yield from Parallel(return_as="generator", pre_dispatch=ahead, batch_size=1)(
                task(function, one) for one in parts
            )
            return
        with Parallel(
            batch_size=1
        ) as pool:  # Ray's back-end gives nothing before all is done: some at a time
            for start in range(0, len(parts), AT_ONCE * jobs):
                yield from pool(task(function, one) for one in parts[start : start + AT_ONCE * jobs])


def _listed(function: Callable[[Part], Iterable[Found]], part: Part) -> list[Found]:
    return list(function(part))


def _deaf(function: Callable[[Part], Iterable[Found]], part: Part) -> list[Found]:
    """Do the same in a process that Ctrl-C does not reach: the first process ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _listed(function, part)


@contextmanager
def _connected(engine: Engine) -> Iterator[tuple[str, int]]:
    """Connect to an engine; give the name of its back-end and the number of parts at a time."""
    if engine.name == "local":
        yield "loky", engine.jobs or 1
    elif engine.name == "ray":
        from plateau_doctor.runners.ray import connected, registered

        ray = connected(engine.address)
        yield registered(), engine.jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
    else:
        from plateau_doctor.runners.dask import connected as dask_client

        with dask_client(engine.address) as cores:
            yield "dask", engine.jobs or cores
