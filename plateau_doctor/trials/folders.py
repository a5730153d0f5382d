"""Folders as the script of a trial means them: with what it saved there, and without what it deleted.

What was there before is never deleted: it is hidden from the script, which finds neither its name nor its content
from then on. The functions of `os` and `shutil` that make, list and delete are replaced; what goes by descriptors of
folders, and what native code lists, sees the folder as it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plateau_doctor.trials.saving import Saving

__all__ = ["install"]


def install(saving: Saving) -> None:
    """Replace the functions that make, list and delete files and folders."""
    _replace(saving, os, "mkdir", _mkdir)
    for name in ("remove", "unlink"):
        _replace(saving, os, name, _remove)
    _replace(saving, shutil, "rmtree", _rmtree)
    _replace_listdir(saving)
    _replace_scandir(saving)


def _replace(saving: Saving, home: Any, name: str, do: Callable[..., None]) -> None:
    """Replace a function by `do(saving, original, absolute name, *its other arguments)`, for the script's own paths."""
    original = getattr(home, name)

    @wraps(original)
    def replaced(path: Any, *args: Any, **kwargs: Any) -> None:
        own = saving.ours(path) if kwargs.get("dir_fd") is None else None
        if own is None:
            original(path, *args, **kwargs)
        else:
            do(saving, original, own, *args, **kwargs)

    setattr(home, name, replaced)


def _mkdir(saving: Saving, original: Callable[..., None], own: str, *args: Any, **kwargs: Any) -> None:
    if saving.is_hidden(own):
        copy = saving.copy_of(own)
        _with_parents(os.path.dirname(copy), original)
        original(copy, *args, **kwargs)
        return
    original(own, *args, **kwargs)
    saving.made(own)


def _remove(saving: Saving, original: Callable[..., None], own: str, *args: Any, **kwargs: Any) -> None:
    old = saving.was_there(own) and not os.path.isdir(own) and not saving.is_hidden(own)
    copy = saving.to_read(own)
    if copy != own or not old:
        original(copy, *args, **kwargs)
    if old:
        saving.hide(own)


def _rmtree(saving: Saving, original: Callable[..., None], own: str, *args: Any, **kwargs: Any) -> None:
    copy = saving.copy_of(own)
    if saving.is_hidden(own):
        original(copy, *args, **kwargs)
        return
    if os.path.isdir(own) and saving.was_there(own):
        saving.hide(own)
    else:
        original(own, *args, **kwargs)
    if saving.is_there(copy):
        original(copy, ignore_errors=True)


def _with_parents(folder: str, mkdir: Any) -> None:
    if not os.path.isdir(folder):
        _with_parents(os.path.dirname(folder), mkdir)
        mkdir(folder)


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
        known = set(own)
        return own + [n for n in original(real) if n not in known and _is_meant(saving, name, n)]

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
    """Return the folder of what was saved, and the real one unless it is hidden; None for one that is not there."""
    copy = saving.copy_of(name)
    if saving.is_hidden(name):
        return copy, None
    if not os.path.isdir(copy):
        return None, path
    return copy, path if saving.is_there(name) else None


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
