"""What a tag is: one table from the names people use to the roles the rules speak of.

A tag is split into words; its words decide. The names and their counts come from 412 log files of 88
public repositories: `loss`, `val_loss`, `train/box_loss`, `trl`, `metrics/mAP50(B)`, `lr-Adam` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

__all__ = ["ROLES", "higher_is_better", "layer_of", "rank_of", "role_of", "roles_of", "same_metric"]

ROLES = (
    "train_loss",
    "val_loss",
    "train_metric",
    "val_metric",
    "reward",
    "learning_rate",
    "grad_norm",
    "layer_grad_norm",
    "layer_weight_norm",
    "layer_update_ratio",
    "class_metric",
    "epoch",
    "other",
)

TRAIN = frozenset({"train", "training", "trn", "tr", "trl", "main", "fit"})
VALIDATION = frozenset({"val", "valid", "validation", "dev", "eval", "evaluation", "holdout", "vl"})
TEST = frozenset({"test", "testing", "tst", "tel"})
LOSS = frozenset(
    {"loss", "losses", "nll", "xent", "trl", "tel", "cost", "objective", "crossentropy", "criterion"}
)
LOSS_IF_ALONE = frozenset({"mse", "ce", "bce", "rmse", "mae", "error", "perplexity", "ppl"})
RISING_METRIC = frozenset(
    "acc accuracy f1 f1score auc auroc map map50 ap iou miou jaccard dice bleu rouge psnr ssim r2 top1 "
    "top5 kappa mcc precision recall score success win".split()
)
SAME_METRIC = {  # other words for one metric
    **dict.fromkeys(("acc", "top1"), "accuracy"),
    **dict.fromkeys(("miou", "jaccard"), "iou"),
    **dict.fromkeys(("map", "map50"), "ap"),
    "f1score": "f1",
    "auroc": "auc",
    "err": "error",
    "ppl": "perplexity",
}
FALLING_METRIC = frozenset("error err mae mse rmse mape wer cer perplexity ppl fid bpc bpb".split())
REWARD = frozenset({"reward", "rewards", "rew", "return", "returns"})
PLAIN = (
    TRAIN
    | VALIDATION
    | TEST
    | frozenset("total epoch step batch iter avg mean average running overall all".split())
)
NOT_A_LOSS = frozenset(
    "policy value actor critic entropy scale scaler weight weights ratio kl time vf pg qf".split()
)
ADVERSARIAL = frozenset("g d gen disc generator discriminator netg netd".split())
DETECTION = frozenset({"map", "map50", "map50-95", "ap", "bbox", "segm", "metrics"})
WHOLE = frozenset("norm norms total global l2 all overall model".split())
NEVER = frozenset("time seconds eta sec fps memory mem gpu cpu lr0x hp".split())

LONG = 200  # characters of a tag that is not worth remembering
_NUMBER = re.compile(
    r"[0-9]{3,}"
)  # no rule tells such numbers apart, and a log may have thousands: layer1742/norm

_LAYERED = re.compile(
    r"(?P<what>grad(?:ient)?s?(?:_[0-9.]+)?(?:[_-]?norms?)?|weights?[_-]?norms?|param(?:eter)?s?[_-]?norms?|update[_-]?ratios?)"
    r"/(?P<layer>.+)$",
    re.IGNORECASE,
)
_CLASS = re.compile(
    r"(?:^|[/_])(?:recall|f1|iou|ap|precision|acc|accuracy)[/_-](?P<name>[^/]+)$", re.IGNORECASE
)
_WORD, _HUMP = re.compile(r"[a-z0-9]+"), re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_MAP_AT = re.compile(r"map[0-9]+")
_RATE = re.compile(r"(^|[^a-z])(lr|learning[ _-]?rate)([0-9]*)([^a-z]|$)", re.IGNORECASE)
_GRAD_NORM = re.compile(
    r"grad(ient)?s?([_ -]?[0-9.]+)?[_ -]?norm|norm[_ -]?grad|total_norm|gnorm", re.IGNORECASE
)


def words_of(tag: str) -> tuple[str, ...]:
    """Split a tag into lower-case words: `train/box_loss` gives train, box, loss."""
    return tuple(_WORD.findall(_HUMP.sub(" ", tag).lower()))


def role_of(tag: str, tag_map: Mapping[str, str] | None = None) -> tuple[str | None, str]:
    """Return the role of one tag, and why; `tag_map` is tag -> role and overrules the table."""
    if tag_map and tag in tag_map:
        return tag_map[tag], "given by --tag-map"
    return _role_of(tag) if len(tag) > LONG else _remembered(_NUMBER.sub("100", tag))


@lru_cache(maxsize=1 << 14)
def _remembered(tag: str) -> tuple[str | None, str]:
    return _role_of(tag)


def _role_of(tag: str) -> tuple[str | None, str]:
    words = words_of(tag)
    present = frozenset(words)
    if not words:
        return None, "no word in it"
    if present & {"hp"} and "metric" in present:
        return "other", "Lightning's constant placeholder"
    if "nonfinite" in present:
        return "other", "a count of NaN and Inf"
    if "majority" in present:
        return "other", "the share of the largest class, which facts read by its name"
    layered = _LAYERED.search(tag)
    if (
        layered
        and layered["what"].lower().startswith("grad")
        and WHOLE.issuperset(words_of(layered["layer"]))
    ):
        return "grad_norm", "the norm of all gradients"
    if layered:
        return _layer_role(layered["what"].lower()), "a norm or ratio per layer"
    if words in (("epoch",), ("epochs",), ("current", "epoch")):
        return "epoch", "the epoch axis"
    if _RATE.search(tag) and not present & LOSS:
        return "learning_rate", "named lr or learning rate"
    if _GRAD_NORM.search(tag):
        return "grad_norm", "named as a gradient norm"
    return _curve_role(tag, words, present)


def roles_of(
    tags: Sequence[str], tag_map: Mapping[str, str] | None = None
) -> dict[str, tuple[str | None, str]]:
    """Return tag -> (role, why) for all tags of one run; a tag that the table does not know has the role None.

    Names that are a loss only when nothing better is there (`mse`, `error`) are settled here, since that
    needs all tags of the run.
    """
    roles = {tag: role_of(tag, tag_map) for tag in tags}
    if not any(role in ("train_loss", "val_loss") for role, _ in roles.values()):
        for tag, (role, _) in roles.items():
            if role in ("train_metric", "val_metric") and frozenset(words_of(tag)) & LOSS_IF_ALONE:
                side = "train_loss" if role == "train_metric" else "val_loss"
                roles[tag] = (side, "an error measure, and the only loss here")
    return roles


def rank_of(tag: str) -> tuple[int, int]:
    """Return how far a tag is from being *the* series of its role; smaller is nearer.

    A total comes before its parts, an epoch's mean before single steps, validation before test, a raw
    series before a moving average or a second copy on another axis.
    """
    words = words_of(tag)
    extra = [w for w in words if w not in PLAIN | LOSS | RISING_METRIC | FALLING_METRIC]
    copies = {"vs", "iterations", "ema", "smooth", "smoothed"} & set(words) or (words and words[-1].isdigit())
    preferred = {"acc", "accuracy", "loss", "trl", "tel"} & set(words)
    fine = "step" in words or "batch" in words
    kind = 0 if preferred else 1
    return (
        len(extra) * 2 + 4 * bool(copies) + 2 * bool(set(words) & TEST) + kind,
        int(fine),
    )


def higher_is_better(tag: str) -> bool:
    """Whether a metric of this name improves by rising; True unless its name is an error measure."""
    present = frozenset(words_of(tag))
    return not present & FALLING_METRIC or bool(present & RISING_METRIC)


def same_metric(one: str, other: str) -> bool:
    """Return whether two tags may be of one metric: True unless both name one, and different ones.

    An accuracy of boxes and an average precision have no gap that tells of overfitting.
    """
    named = [
        {SAME_METRIC.get(word, word) for word in words_of(tag)} & (RISING_METRIC | FALLING_METRIC)
        for tag in (one, other)
    ]
    return not all(named) or not named[0].isdisjoint(named[1])


def layer_of(tag: str) -> str | None:
    """Return the layer that a per-layer norm or ratio belongs to, None for any other tag."""
    found = _LAYERED.search(tag)
    return found["layer"] if found else None


def _layer_role(what: str) -> str:
    if what.startswith("grad"):
        return "layer_grad_norm"
    return "layer_update_ratio" if what.startswith("update") else "layer_weight_norm"


def _curve_role(tag: str, words: tuple[str, ...], present: frozenset[str]) -> tuple[str | None, str]:
    side = _side(present)
    if present & REWARD:
        return "reward", "an agent's reward"
    if present & LOSS or ("cross" in present and "entropy" in present):
        if present & NOT_A_LOSS - ({"entropy"} if "cross" in present else set()):
            return "other", "a part of a reinforcement-learning objective, or a scale; no loss to minimize"
        if present & ADVERSARIAL:
            return "other", "an adversarial loss, which does not settle by design"
        return f"{side or 'train'}_loss", "a loss" + (
            f" of the {side} side" if side else " with no side named"
        )
    if present & NEVER:
        return "other", "a clock or a gauge"
    if _CLASS.search(tag) and not _aggregate(tag, words):
        return "class_metric", "a metric of one class"
    if present & (RISING_METRIC | FALLING_METRIC) or any(_MAP_AT.fullmatch(w) for w in words):
        if side is None:
            side = "val" if present & DETECTION or any(w.startswith("map") for w in words) else "train"
        return f"{side}_metric", f"a metric, taken for the {side} side"
    if present in ({"entropy"}, {"train", "entropy"}):
        return "other", "an entropy; no loss to minimize"
    return None, "no rule knows this name"


def _aggregate(tag: str, words: tuple[str, ...]) -> bool:
    """Whether the last word names a mean over classes or a variant of the metric, not a class."""
    last = words[-1]
    if "class" in words[:-1]:
        return False
    if tag.endswith(f"/{last}") and "map" not in words[-2]:
        return last in PLAIN
    return (
        last in PLAIN | {"macro", "micro", "weighted", "score", "b", "m", "95", "0", "5", "1"}
        or last.isdigit()
    )


def _side(present: frozenset[str]) -> str | None:
    if present & VALIDATION:
        return "val"
    if present & TEST:
        return "val"
    return "train" if present & TRAIN else None
