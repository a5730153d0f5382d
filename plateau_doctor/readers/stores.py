"""Logs in buckets and on servers, copied down in blocks by fsspec, which is imported for them alone."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from plateau_doctor.letters import UsageError, did_you_mean
from plateau_doctor.readers.archives import place_below
from plateau_doctor.readers.survey import SKIPPED_FOLDERS, may_be_log
from plateau_doctor.run import Problem

__all__ = ["EXTRAS", "copied"]

AT_ONCE = 16  # files that are copied at a time: small ones wait for answers most of the time
EXTRAS: Mapping[str, str] = {
    "s3": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "hf": "hf",
    "http": "https",
    "https": "https",
}


def copied(url: str, into: Path) -> tuple[Path, list[Problem]]:
    """Copy what may be logs, by their names, from an address; return where they are and what could not be copied.

    Raises:
        UsageError: No such kind of address; what it needs is not installed; nothing is there or answers; or the
            disk has no room.
    """
    store, root = _opened(url)
    files = _found(store, root, url)
    name = Path(unquote(urlsplit(url).path)).name or urlsplit(url).netloc
    home = into / name
    alone = len(files) == 1 and next(iter(files)).rstrip("/") == root.rstrip("/")
    wanted = files if alone else {path: info for path, info in files.items() if _is_wanted(path, root)}
    _check_room(sum(int(info.get("size") or 0) for info in wanted.values()), into, url)
    home.parent.mkdir(parents=True, exist_ok=True)
    if not alone:
        home.mkdir()

    def copy(path: str) -> Problem | None:
        below = _below(path, root)
        label = url if alone else f"{url.rstrip('/')}/{below}"
        return _copied(store, path, home if alone else place_below(home, below), label)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return home, [problem for problem in pool.map(copy, sorted(wanted)) if problem is not None]


def _copied(store: Any, path: str, target: Path | None, label: str) -> Problem | None:
    """Copy one file; return why it could not be."""
    if target is None:
        return Problem(label, "not copied", "its name leaves the folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(path, str(target))
    except Exception as error:  # each store has errors of its own
        if target.is_file():
            target.unlink()
        return Problem(label, "not copied", _said(error))
    return None


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    scheme = url.partition("://")[0].lower()
    if scheme not in EXTRAS:
        near = did_you_mean(scheme, EXTRAS)
        raise UsageError(f"{url}: nothing is read from {scheme}://{near}\nread are {', '.join(EXTRAS)}")
    try:
        from fsspec.core import url_to_fs

        store, root = url_to_fs(url)
    except ImportError:
        raise UsageError(f"{url} needs: pip install 'plateau-doctor[{EXTRAS[scheme]}]'") from None
    except Exception as error:  # no credentials, no such profile: each store has errors of its own
        raise UsageError(f"{url}: {_said(error)}") from None
    return store, str(root)


def _found(store: Any, root: str, url: str) -> dict[str, dict[str, Any]]:
    """Return path -> what the store tells of it, of each file at or below a path."""
    try:
        if url.startswith("http") and not url.endswith("/"):
            return {root: dict(store.info(root))}
        files = {path: dict(info) for path, info in store.find(root, detail=True).items()}
    except Exception as error:
        raise UsageError(f"{url}: {_said(error)}") from None
    if not files:
        raise UsageError(f"{url}: nothing is there")
    return files


def _is_wanted(path: str, root: str) -> bool:
    below = Path(_below(path, root))
    return may_be_log(below) and not SKIPPED_FOLDERS.intersection(below.parts[:-1])


def _below(path: str, root: str) -> str:
    return (
        unquote(path.removeprefix(root).lstrip("/")) if "://" in path else path.removeprefix(root).lstrip("/")
    )


def _check_room(size: int, into: Path, url: str) -> None:
    into.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(into).free
    if size > free:
        raise UsageError(
            f"{url}: {size:,} bytes of logs do not fit {into.parent}, which has {free:,}; set TMPDIR"
        )


def _said(error: Exception) -> str:
    """Return what a store says of an error, in one line."""
    if isinstance(error, FileNotFoundError):
        return "nothing is there"
    with contextlib.suppress(Exception):
        said = " ".join(str(error).split())
        return f"{type(error).__name__}: {said[:200]}" if said else type(error).__name__
    return type(error).__name__
