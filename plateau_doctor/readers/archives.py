"""Logs in a zip or tar archive, unpacked within bounds: an archive may be anything that someone sent.

No member leaves the folder; links and devices are passed over; what is unpacked is at most 200 times the archive and
256 MiB, so that a bomb fills no disk; and a member that is damaged is told, with what could be read of it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tarfile import EOFHeaderError, HeaderError, ReadError  # type: ignore[attr-defined]
from typing import IO, Any, Self, cast

from plateau_doctor.readers.survey import SKIPPED_FOLDERS, may_be_log
from plateau_doctor.run import Problem

__all__ = ["is_archive", "place_below", "unpacked"]

MOST_TIMES, FREE_BYTES = 200, 256 << 20
MOST_MEMBERS = 100_000
BLOCK = 1 << 20
OPENERS: Mapping[str, Callable[..., Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,  # a member under a password
    NotImplementedError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


class _Enough(Exception):  # noqa: N818  # an answer, not a fault
    """More was unpacked than an archive of logs holds."""


class _Budget:
    """How many bytes may still be unpacked."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.most = FREE_BYTES + MOST_TIMES * archive.stat().st_size
        self.most = min(self.most, shutil.disk_usage(folder).free // 2)
        self.left = self.most

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise _Enough


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    name = path.name.lower()
    return (name.endswith(".zip") or any(map(name.endswith, OPENERS))) and path.is_file()


def unpacked(archive: Path, into: Path, label: str) -> list[Problem]:
    """Unpack what may be a log by its name; return what was not, and why, shown as lying below `label`."""
    into.mkdir(parents=True)
    problems: list[Problem] = []
    count = 0
    try:
        budget = _Budget(archive, into)
        members = _zipped if archive.name.lower().endswith(".zip") else _tarred
        for name, opened in members(archive, budget):
            target = place_below(into, name)
            if target is None:
                problems.append(Problem(f"{label}/{name}", "not unpacked", "its path leaves the archive"))
                continue
            if not may_be_log(target) or SKIPPED_FOLDERS.intersection(target.relative_to(into).parts[:-1]):
                continue
            count += 1
            if count > MOST_MEMBERS:
                why = f"it holds more than {MOST_MEMBERS:,} logs"
                return [*problems, Problem(label, "unpacked no further", why)]
            problems += _member(target, opened, f"{label}/{name}")
    except _Enough:
        why = f"it holds more than {budget.most:,} bytes, {MOST_TIMES} times its size"
        problems.append(Problem(label, "unpacked no further", why))
    except DAMAGED as error:
        problems.append(Problem(label, "unpacked no further", f"the archive is damaged: {error}"))
    return problems


def place_below(folder: Path, name: str) -> Path | None:
    """Return where a file of this name goes in a folder; None where its name would lead out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        return None
    return folder / path


Open = Callable[[], IO[bytes] | None]


def _zipped(archive: Path, budget: _Budget) -> Iterator[tuple[str, Open]]:
    with zipfile.ZipFile(archive) as held:
        for info in held.infolist():
            if not info.is_dir():
                yield info.filename, lambda info=info: _Counted(held.open(info), budget)  # type: ignore[misc]


def _tarred(archive: Path, budget: _Budget) -> Iterator[tuple[str, Open]]:
    """Yield the members of a tar; all that is decompressed counts, what is passed over too."""
    opener = next(OPENERS[end] for end in OPENERS if archive.name.lower().endswith(end))
    with opener(archive, "rb") as stream:
        counted = _Counted(stream, budget)
        held = tarfile.open(fileobj=cast("IO[bytes]", counted), mode="r|", tarinfo=_Member)  # noqa: SIM115
        for info in held:
            if not info.isdir():
                yield info.name, lambda info=info: held.extractfile(info) if info.isfile() else None  # type: ignore[misc]
        while counted.read(BLOCK):  # a checksum of the whole stands at its end
            pass


class _Member(tarfile.TarInfo):
    """A member whose header is sound: tarfile takes one that is damaged, or missing, for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Read the next header."""
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if isinstance(error, EOFHeaderError):
                raise
            raise ReadError(f"{error}, at byte {tarfile.offset:,} of the tar") from None


class _Counted:
    """A stream whose bytes are counted."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self.stream, self.budget = stream, budget

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        self.budget.spend(len(content))
        return content

    def close(self) -> None:
        self.stream.close()


def _member(target: Path, opened: Open, label: str) -> list[Problem]:
    """Write one member; one that is damaged keeps what could be read of it, one that is too large is removed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _closing(opened) as stream, target.open("xb") as file:
            while piece := stream.read(BLOCK):
                file.write(piece)
    except _Enough:
        target.unlink(missing_ok=True)
        raise
    except DAMAGED as error:
        return [Problem(label, "not wholly unpacked", str(error) or type(error).__name__)]
    return []


@contextmanager
def _closing(opened: Open) -> Iterator[IO[bytes]]:
    stream = opened()
    if stream is None:
        raise ValueError("a link or a device, not a file")
    try:
        yield stream
    finally:
        stream.close()
