"""Folders as the script of a trial means them: with what it saved there, and without what it deleted.

What was there before is never deleted: it is hidden from the script, which finds neither its name nor its content
from then on. The functions of `os` and `shutil` that make, list and delete are replaced; what goes by descriptors of
folders, and what native code lists, sees the folder as it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plateau_doctor.trials.saving import Saving

__all__ = ["install"]


def install(saving: Saving) -> None:
    """Replace the functions that make, list and delete files and folders."""
    _replace_mkdir(saving)
    for name in ("remove", "unlink"):
        _replace_remove(saving, name)
    _replace_rmtree(saving)
    _replace_listdir(saving)
    _replace_scandir(saving)


def _replace_mkdir(saving: Saving) -> None:
    original = os.mkdir

    @wraps(original)
    def made(path: Any, *args: Any, **kwargs: Any) -> None:
        name = saving.ours(path) if kwargs.get("dir_fd") is None else None
        if name is not None and saving.is_hidden(name):
            copy = saving.copy_of(name)
            _with_parents(os.path.dirname(copy), original)
            original(copy, *args, **kwargs)
            return
        original(path, *args, **kwargs)
        if name is not None:
            saving.made(name)

    os.mkdir = made


def _with_parents(folder: str, mkdir: Any) -> None:
    if not os.path.isdir(folder):
        _with_parents(os.path.dirname(folder), mkdir)
        mkdir(folder)


def _replace_remove(saving: Saving, name: str) -> None:
    original = getattr(os, name)

    @wraps(original)
    def removed(path: Any, *args: Any, **kwargs: Any) -> None:
        own = saving.ours(path) if kwargs.get("dir_fd") is None else None
        if own is None:
            original(path, *args, **kwargs)
            return
        old = saving.was_there(own) and not os.path.isdir(own) and not saving.is_hidden(own)
        copy = saving.to_read(path)
        if copy is not path or not old:
            original(copy, *args, **kwargs)
        if old:
            saving.hide(own)

    setattr(os, name, removed)


def _replace_rmtree(saving: Saving) -> None:
    original = shutil.rmtree

    @wraps(original)
    def removed(path: Any, *args: Any, **kwargs: Any) -> None:
        own = saving.ours(path) if kwargs.get("dir_fd") is None else None
        if own is None:
            original(path, *args, **kwargs)
            return
        copy = saving.copy_of(own)
        if saving.is_hidden(own):
            original(copy, *args, **kwargs)
            return
        if os.path.isdir(own) and saving.was_there(own):
            saving.hide(own)
        else:
            original(path, *args, **kwargs)
        if saving.is_there(copy):
            original(copy, ignore_errors=True)

    shutil.rmtree = removed  # type: ignore[assignment]


def _replace_listdir(saving: Saving) -> None:
    original = os.listdir

    @wraps(original)
    def listed(path: Any = ".") -> Any:
        name = _to_list(saving, path)
        if name is None:
            return original(path)
        saved, real = _places(saving, name, path)
        own = [n for n in original(saved) if _is_meant(saving, name, n, saved)] if saved is not None else []
        if real is None:
            return own
        return own + [n for n in original(real) if n not in own and _is_meant(saving, name, n)]

    os.listdir = listed


def _replace_scandir(saving: Saving) -> None:
    original = os.scandir

    def entries(folder: Any) -> list[os.DirEntry[str]]:
        with original(folder) as found:
            return list(found)

    @wraps(original)
    def scanned(path: Any = ".") -> Any:
        name = _to_list(saving, path)
        if name is None:
            return original(path)
        saved, real = _places(saving, name, path)
        own = (
            [one for one in entries(saved) if _is_meant(saving, name, one.name, saved)]
            if saved is not None
            else []
        )
        if real is None:
            return _Entries(own)
        known = {one.name for one in own}
        return _Entries(
            own
            + [one for one in entries(real) if one.name not in known and _is_meant(saving, name, one.name)]
        )

    os.scandir = scanned


def _places(saving: Saving, name: str, path: Any) -> tuple[Any, Any]:
    """Return the folder of what was saved, None where there is none, and the real one, None where it is hidden."""
    copy = saving.copy_of(name)
    if saving.is_hidden(name):
        return copy, None
    return copy if os.path.isdir(copy) else None, path


def _is_meant(saving: Saving, folder: str, name: str, saved: str | None = None) -> bool:
    """Whether the script is to see this name in a folder: of what it saved, or of what was there before."""
    if saved is not None:
        return os.path.join(saved, name) != saving.elsewhere
    return not saving.is_hidden(os.path.join(folder, name))


def _to_list(saving: Saving, path: Any) -> str | None:
    """Return the absolute name of a folder whose list may differ from what is there, None for others."""
    if not saving.differs or isinstance(path, bytes):
        return None
    return saving.ours("." if path is None else path)


class _Entries:
    """What `os.scandir` returns: an iterator that can be closed."""

    def __init__(self, entries: list[os.DirEntry[str]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is left."""
        self._entries = iter(())
