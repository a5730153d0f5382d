"""Which runs are siblings: seeds of one training, or points of one sweep, found in one analysis.

Two runs are siblings when they logged the same series under the same names, have one task as far as the log
tells, differ in a few settings, and lie together: with settings logged, in one folder (or folders whose names
differ in settings and numbers alone); without, under names that differ in settings and numbers alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from plateau_doctor.names import Setting, canonical, settings_in, skeleton, unnamed_numbers
from plateau_doctor.run import Run, block_starts

__all__ = ["Place", "families", "place_of", "settings_of"]

MOST_KEYS = 4  # settings in which a sweep differs, beside the seed; more is a history of attempts
FEWEST_LOGGED = 2  # settings that must be logged before a folder alone tells that runs belong together
MAIN_ROLES = ("reward", "train_loss", "val_loss", "val_metric", "train_metric")
TASK = frozenset(
    "dataset data task env env_id environment model model_name arch architecture backbone net network loss "
    "loss_function loss_fn criterion classes num_classes n_classes num_labels".split()
)
MEASURED = frozenset("parameters steps_per_epoch majority_share input_rms input_scale framework".split())
_ABOUT_THE_RUN = re.compile(
    r"(^|_)(dir|path|file|folder|logdir|host|hostname|user|date|time|timestamp|started|id|uuid|url|port|device|"
    r"gpu|gpus|cuda|workers|commit|sha|notes|run|exp|experiment|project|tags?|version|verbose|checkpoint)(_|$)"
    r"|^name$"
)
_FILE_OF_ANY_RUN = re.compile(
    r"(?:[\W_]|histor(?:y|ies)|metrics?|progress|results?|logs?|train(?:ing|er)?|val|scalars|state|events|out|"
    r"output|stdout|csv|tsv|jsonl?|txt|main)+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Place:
    """Where a run stands: its place in the family tree, and what it was set to; small enough to keep of thousands."""

    logged: tuple[str, ...]
    tags: tuple[str, ...]
    task: tuple[tuple[str, str], ...]
    folder: str
    name: str
    settings: Mapping[str, Setting]


def families(places: Sequence[Place]) -> tuple[tuple[int, ...], ...]:
    """Return the indexes of runs that are siblings, each group of two or more, in the order of the runs.

    One pass over the runs, whatever their number; no curve is looked at.
    """
    having = [i for i, place in enumerate(places) if place.logged]
    found = [group for group in _grouped(places, having, lambda p: p.folder) if _alike(places, group)]
    left = sorted(set(range(len(places))).difference(*found))
    for group in _grouped(places, left, lambda p: (p.folder, p.name)):
        # a long history of attempts is no sweep; seeds of one attempt are siblings all the same
        found += [group] if _alike(places, group) else _seeds(places, group)
    return tuple(sorted(map(tuple, found)))


def place_of(run: Run) -> Place:
    """Return where a run stands."""
    where, logged, settings = _where(run), _logged(run), settings_of(run)
    folder, _, name = where.rpartition("/")
    keys = tuple(sorted(logged)) if len(logged) >= FEWEST_LOGGED else ()
    task = tuple(sorted((key, str(value)) for key, value in settings.items() if key in TASK))
    return Place(keys, _main_tags(run), task, skeleton(folder), skeleton(name), settings)


def settings_of(run: Run) -> dict[str, Setting]:
    """Return what a run was set to, by canonical key: as logged, and where it was not, as its name says.

    What was measured, and what only tells one run from another, is left out. Where no settings were logged,
    numbers of the name that say no key are kept under keys that begin with `#`.
    """
    logged = _logged(run)
    where = _where(run)
    unnamed = {} if len(logged) >= FEWEST_LOGGED else unnamed_numbers(where)
    return {**unnamed, **settings_in(where), **logged}


def _logged(run: Run) -> dict[str, Setting]:
    found = {canonical(str(key)): value for key, value in run.settings.items()}
    return {
        key: _tidy(value)
        for key, value in found.items()
        if key not in MEASURED and not _ABOUT_THE_RUN.search(key)
    }


def _tidy(value: Setting) -> Setting:
    """Return a number as a float, to three digits where it is not whole: 0.0299999 was set as 0.03."""
    if isinstance(value, (bool, str)):
        return value
    return float(value) if float(value).is_integer() else float(f"{value:.3g}")


def _where(run: Run) -> str:
    """Return the path that tells runs apart: without suffix, and without a file name that any run could have.

    Of several runs in one file, what the reader put behind the file's name belongs to it.
    """
    path = PurePath(run.source)
    stem = re.sub(r"\.[A-Za-z]\w*$", "", path.name)
    tail = run.name.rpartition("/")[2]
    behind = tail.removeprefix(path.name) if tail.startswith(path.name) else ""
    if not behind and _FILE_OF_ANY_RUN.fullmatch(stem):
        return path.parent.as_posix()
    return (path.parent / f"{stem}{behind}").as_posix()


def _main_tags(run: Run) -> tuple[str, ...]:
    tags, roles = (run.scalars[name].to_numpy(dtype=object) for name in ("tag", "role"))
    role_of: dict[object, object] = {}
    for i in block_starts(tags).tolist():
        role_of.setdefault(tags[i], roles[i])
    for role in MAIN_ROLES:
        if found := sorted(str(tag) for tag, own in role_of.items() if own == role):
            return (role, *found)
    return ()


def _grouped(
    places: Sequence[Place], members: Iterable[int], where: Callable[[Place], Hashable]
) -> list[list[int]]:
    """Return groups of two or more that logged the same series and settings, have one task and lie together."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i in members:
        if places[i].tags:
            groups[places[i].logged, places[i].tags, places[i].task, where(places[i])].append(i)
    return [group for group in groups.values() if len(group) >= 2]


def _alike(places: Sequence[Place], group: Sequence[int]) -> bool:
    """Whether runs differ in few settings, beside the seed; a setting that one lacks is no difference."""
    values: dict[str, set[Setting]] = defaultdict(set)
    for i in group:
        for key, value in places[i].settings.items():
            values[key].add(value)
    return sum(len(found) > 1 for key, found in values.items() if key != "seed") <= MOST_KEYS


def _seeds(places: Sequence[Place], group: Sequence[int]) -> list[list[int]]:
    """Return the parts of a group that differ in the seed alone, each with as many seeds as runs."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for i in group:
        settings = places[i].settings
        if "seed" in settings:
            alike[tuple(sorted((k, str(v)) for k, v in settings.items() if k != "seed"))].append(i)
    several = [seeds for seeds in alike.values() if len(seeds) >= 2]
    return [seeds for seeds in several if len({places[i].settings["seed"] for i in seeds}) == len(seeds)]
