"""A Dask cluster: one that runs already, by the address of its scheduler, or one that is started on this machine.

The logs must be at the same place on every worker, and plateau-doctor installed there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from plateau_doctor.letters import UsageError

__all__ = ["connected"]

PATIENCE = 10  # seconds that a scheduler may take to answer


@contextmanager
def connected(address: str | None = None) -> Iterator[int]:
    """Connect to a cluster, and give the number of its cores; joblib's back-end `dask` uses the connection.

    Raises:
        UsageError: Dask is not installed, or no scheduler answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UsageError("--runner dask needs Dask: pip install 'plateau-doctor[dask]'") from None
    if address is None:
        with (
            LocalCluster(threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR) as cluster,
            Client(cluster) as client,
        ):
            yield _cores(client.nthreads())
        return
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        yield _cores(client.nthreads())


def _cores(threads: Mapping[str, int]) -> int:
    return max(1, sum(threads.values()))
