"""What a run's name tells: settings written into it (`lr0.01_seed3`), and what is left when numbers are taken out."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["Setting", "canonical", "settings_in", "skeleton", "unnamed_numbers"]

Setting = float | str | bool

ALIASES: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("learning_rate", "learningrate", "lr", "lr0", "base_lr"),
    "batch_size": ("batch_size", "batchsize", "batch", "bs", "train_batch_size"),
    "weight_decay": ("weight_decay", "weightdecay", "wd"),
    "dropout": ("dropout", "dropout_rate", "drop_rate", "p_dropout", "drop"),
    "seed": ("seed", "random_seed", "rng_seed", "manual_seed", "random_state", "global_seed"),
    "momentum": ("momentum", "mom"),
    "l2": ("l2", "l2_reg", "kernel_l2"),
    "label_smoothing": ("label_smoothing",),
    "epochs": ("epochs", "num_epochs", "max_epochs", "n_epochs"),
    "hidden_size": ("hidden_size", "hidden", "width"),
    "layers": ("layers", "num_layers", "n_layers", "depth"),
}
_CANONICAL = {name: key for key, names in ALIASES.items() for name in names}
WHOLE = frozenset({"seed", "batch_size", "epochs", "hidden_size", "layers"})
COUNTERS = frozenset(
    "version v run exp experiment trial fold job try attempt part log logs training train id rank".split()
)
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_WORDS = "|".join(sorted(_CANONICAL.keys() - {"lr0"}, key=lambda word: (-len(word), word))).replace(
    "_", "[_-]?"
)
_SETTING = re.compile(
    rf"(?<![A-Za-z])(?P<word>{_WORDS})[=_: -]?(?P<number>{_NUMBER})(?![A-Za-z0-9]|\.\d)", re.IGNORECASE
)
_MEANINGLESS = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a UUID
    r"|(?=[0-9a-f]*\d)[0-9a-f]{16,}"  # a hash
    r"|(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d(?:[-_. T]*\d\d[-_.:]?\d\d(?:[-_.:]?\d\d)?)?"  # a date, and a time
    r"|\d{8,})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_COUNTED = re.compile(rf"(?<![A-Za-z])(?P<word>[A-Za-z]*)(?P<gap>[^A-Za-z0-9/]?)(?P<number>{_NUMBER})")


def canonical(key: str) -> str:
    """Return the one name of a setting that people spell in many ways: `lr` and `Learning-Rate` are `learning_rate`."""
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()).strip("_")
    return _CANONICAL.get(plain, plain)


def settings_in(name: str) -> dict[str, Setting]:
    """Return the settings written into a name or path, by canonical key; the last one of a key counts.

    A rate such as `lr001` has no point where one is meant; it is not guessed, and stays a text.
    """
    found: dict[str, Setting] = {}
    for match in _SETTING.finditer(_MEANINGLESS.sub("#", name)):
        key, number = canonical(match["word"]), match["number"]
        found[key] = number if key not in WHOLE and re.match(r"0\d", number) else float(number)
    return found


def skeleton(name: str) -> str:
    """Return a name without its settings and numbers: equal for seeds and for the points of a sweep."""
    bare = re.sub(_NUMBER, " ", _SETTING.sub(" ", _MEANINGLESS.sub(" ", name)))
    return "/".join(re.sub(r"[\W_]+", "_", part).strip("_") for part in bare.split("/"))


def unnamed_numbers(name: str) -> dict[str, Setting]:
    """Return numbers in a name that may mean something but do not say what: 18 in `resnet18`.

    Counters (`version_3`, a bare whole number) and dates are left out: they tell one run from another and no more.
    """
    bare = _SETTING.sub("", _MEANINGLESS.sub("", name))
    found: dict[str, Setting] = {}
    for match in _COUNTED.finditer(bare):
        word, number = match["word"].lower(), match["number"]
        if word not in COUNTERS if word else not number.isdigit():
            found[f"#{len(found)} {word}".strip()] = number
    return found
