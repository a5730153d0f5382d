"""What goes wrong in the corpus: one recipe a cause, in several severities, each with the one change that undoes it.

A recipe spoils a sound setup and names its undo arms; an arm stands for one cause, or for two whose undo is the
same change. Which of them are labels is settled by training the arms, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from trainings.ensemble import Setup
from trainings.nets import ARCHITECTURES
from trainings.tasks import TASKS, task

__all__ = ["ARTIFACTS", "RECIPES", "Arm", "Config", "plan", "sound"]

Rng = np.random.Generator
Rates = Mapping[tuple[str, str, str], float]
PRESETS = ((32, 20, 25), (16, 30, 18), (64, 10, 50), (32, 16, 45))  # batch, steps an epoch, epochs
MORE_PRESETS = (*PRESETS, (128, 8, 90), (32, 40, 30), (8, 60, 14), (64, 12, 80))  # of the second round
SHORT = (32, 20, 8)
LONG = (32, 16, 60)
ARTIFACTS = ("running_mean", "moving_average_from_0", "cached_validation", "summed_over_batches")


@dataclass(frozen=True)
class Arm:
    """The same training with one thing undone, and the causes that this undoes."""

    causes: tuple[str, ...]
    setup: Setup


@dataclass(frozen=True)
class Config:
    """One configuration of the corpus.

    Attributes:
        name: Unique, `digits-cnn-017`.
        injected: The causes put in; empty for a sound one.
        severity: In words.
        setup: The training as it is.
        arms: Its undos.
        artifact: What is wrong with the log alone, "" for nothing.
    """

    name: str
    injected: tuple[str, ...]
    severity: str
    setup: Setup
    arms: tuple[Arm, ...]
    artifact: str = ""


Recipe = Callable[[Setup, Rng, float], tuple[Setup, list[Arm], str] | None]


def kind_of(one: Setup) -> str:
    return task(one.task).kind


def plain(one: Setup) -> bool:
    """Whether the net has neither normalization nor skip connections."""
    return one.architecture in ("mlp", "cnn")


def is_classifier(one: Setup) -> bool:
    return task(one.task).classes > 0


def sound(name: str, architecture: str, rng: Rng, rates: Rates, varied: bool = False) -> tuple[Setup, float]:
    """Return a setup as a careful author would choose it, and the best rate for its optimizer.

    A `varied` one is of another size: narrower or wider, shallower or deeper, on less data or all of it, in more
    or fewer steps; so that sizes alone tell nothing.
    """
    optimizer = str(rng.choice(["sgd", "momentum", "adam", "adamw"], p=[0.15, 0.35, 0.3, 0.2]))
    family = "adam" if optimizer.startswith("adam") else "momentum"
    rate = rates[name, architecture, family] * (10 if optimizer == "sgd" else 1)
    batch, steps, epochs = PRESETS[rng.integers(len(PRESETS))]
    depth = {"resnet": 3, "attention": 1, "rnn": 2}.get(architecture, int(rng.choice([2, 3])))
    activations, odds = (
        (["relu", "gelu", "tanh"], [0.7, 0.1, 0.2]) if architecture in ("mlp", "cnn") else (["relu"], [1.0])
    )
    if architecture == "rnn":
        activations = ["tanh"]
    most = len(task(name).pool[1])
    one = Setup(
        task=name,
        architecture=architecture,
        depth=depth,
        activation=str(rng.choice(activations, p=odds)),
        optimizer=optimizer,
        lr=float(rate * 10 ** rng.uniform(-0.25, 0.25)),
        schedule=str(
            rng.choice(["constant", "cosine", "step", "warm_up", "one_cycle"], p=[0.45, 0.25, 0.1, 0.1, 0.1])
        ),
        batch=batch,
        steps_per_epoch=steps,
        epochs=epochs,
        samples=min(most, int(rng.choice([400, 640, 1000]))),
        dropout=float(rng.choice([0, 0.1, 0.25], p=[0.7, 0.2, 0.1])),
        weight_decay=float(rng.choice([0, 1e-4, 1e-3], p=[0.6, 0.2, 0.2])),
    )
    if not varied:
        return one, rate
    widths = [0.5, 1, 2, 4] if architecture == "mlp" else [0.75, 1, 1.5, 2]
    batch, steps, epochs = MORE_PRESETS[rng.integers(len(MORE_PRESETS))]
    width = float(rng.choice(widths))
    rate = rate / max(1.0, width) ** 0.5
    lr = float(rate * 10 ** rng.uniform(-0.25, 0.25))
    samples = min(most, int(rng.choice([300, 640, 1000, most])))
    one = replace(
        one, width=width, lr=lr, batch=batch, steps_per_epoch=steps, epochs=epochs, samples=samples,
        depth=one.depth if architecture in ("rnn", "resnet") else _depth(one, rng),
    )  # fmt: skip
    return one, rate


def _depth(one: Setup, rng: Rng) -> int:
    """Return a depth for a net of another size."""
    return int(rng.choice([1, 2] if one.architecture == "attention" else [1, 2, 4] if plain(one) else [2, 3]))


def _rate_arms(one: Setup, rate: float) -> list[Arm]:
    """The undo of a rate that is off by a factor of two or more, and of what a high one does to units and steps."""
    arms, off = [], one.lr / rate
    if off <= 0.5:
        arms.append(Arm(("lr_too_low",), replace(one, lr=rate)))
    if off >= 2:
        arms.append(Arm(("lr_too_high",), replace(one, lr=rate)))
        if one.activation == "relu" and plain(one) and off >= 4:
            arms.append(Arm(("dead_relu",), replace(one, slope=0.1)))
    return arms


def lr_too_low(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    factor = float(rng.choice([10, 30, 100, 300]))
    one = replace(one, lr=rate / factor)
    return one, _rate_arms(one, rate), f"rate / {factor:.0f}"


def lr_too_high(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    factor = float(rng.choice([5, 10, 30, 100]))
    one = replace(one, lr=rate * factor, schedule=one.schedule if rng.random() < 0.4 else "constant")
    return (
        one,
        [*_rate_arms(one, rate), Arm(("exploding_gradients",), replace(one, clip=1.0))],
        f"rate x {factor:.0f}",
    )


def lr_decayed_too_early(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    schedule = str(rng.choice(["early", "early_cosine"]))
    return (
        replace(one, schedule=schedule),
        [Arm(("lr_decayed_too_early",), replace(one, schedule="cosine"))],
        schedule,
    )


def noise_floor(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    factor = float(rng.choice([1.0, 1.7, 3.0]))
    one = replace(one, batch=8, steps_per_epoch=40, epochs=16, schedule="constant", lr=rate * factor)
    return (
        one,
        [Arm(("noise_floor",), replace(one, schedule="cosine")), *_rate_arms(one, rate)],
        f"rate x {factor:.1f}, batch 8",
    )


def vanishing_gradients(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    cause = ("vanishing_gradients",)
    if one.architecture == "rnn":
        gain = float(rng.choice([0.15, 0.3]))
        return replace(one, gain=gain), [Arm(cause, one)], f"gain {gain}"
    if not plain(one):
        return None
    activation, depth = str(rng.choice(["sigmoid", "sigmoid", "tanh"])), int(rng.choice([3, 4, 6]))
    gain = 1.0 if activation == "sigmoid" else float(rng.choice([0.2, 0.4]))
    if one.architecture == "cnn":
        depth = min(depth, 4)
    bad = replace(one, activation=activation, depth=depth, gain=gain)
    return (
        bad,
        [Arm(cause, replace(bad, activation="relu", gain=1.0))],
        f"{depth} layers of {activation}, gain {gain}",
    )


def exploding_gradients(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    gain = float(rng.choice([2.0, 3.0, 4.5]))
    if one.architecture == "rnn":
        bad = replace(one, gain=gain / 1.4)
    elif plain(one):
        bad = replace(
            one,
            gain=gain,
            depth=int(rng.choice([3, 4, 5] if one.architecture == "mlp" else [3, 4])),
            activation="relu",
        )
    else:
        return None
    arms = [
        Arm(("exploding_gradients", "bad_initialization"), replace(bad, gain=1.0)),
        Arm(("exploding_gradients",), replace(bad, clip=1.0)),
    ]
    return bad, arms, f"gain {bad.gain:.1f} in {bad.depth} layers"


def dead_relu(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    if not plain(one):
        return None
    bias = float(rng.choice([-1.0, -2.0, -4.0]))
    bad = replace(one, activation="relu", bias=bias)
    return (
        bad,
        [Arm(("dead_relu",), replace(bad, slope=0.1)), Arm(("bad_initialization",), replace(bad, bias=0.0))],
        f"bias {bias:.0f}",
    )


def saturated_units(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    if one.architecture not in ("mlp", "cnn", "rnn"):
        return None
    gain = float(rng.choice([5.0, 12.0, 30.0]))
    sound = replace(
        one, activation=str(rng.choice(["tanh", "tanh", "sigmoid"])) if one.architecture != "rnn" else "tanh"
    )
    return (
        replace(sound, gain=gain),
        [Arm(("saturated_units", "bad_initialization"), sound)],
        f"{sound.activation}, gain {gain:.0f}",
    )


def bad_initialization(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    how = str(rng.choice(["large head", "symmetric", "tiny"]))
    if how == "large head":
        bad = replace(one, last_gain=float(rng.choice([10, 30, 100])))
    elif how == "symmetric":
        bad = replace(one, symmetric=True)
    elif plain(one):
        bad = replace(one, gain=float(rng.choice([0.03, 0.1])), depth=3)
        one = replace(one, depth=3)
    else:
        return None
    return bad, [Arm(("bad_initialization",), one)], how


def class_imbalance(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    if not is_classifier(one):
        return None
    share = float(rng.choice([0.8, 0.9, 0.96]))
    bad = replace(one, majority=share)
    return bad, [Arm(("class_imbalance",), one)], f"{share:.0%} of one class"


def label_noise(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    share = float(rng.choice([0.2, 0.4, 0.6]))
    return replace(one, label_noise=share), [Arm(("label_noise",), one)], f"{share:.0%}"


def small_dataset(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    n = int(rng.choice([20, 40, 80]))
    return (
        replace(one, samples=n),
        [Arm(("small_dataset",), replace(one, samples=len(task(one.task).pool[1])))],
        f"{n} samples",
    )


def unnormalized_inputs(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    if kind_of(one) == "sequence":
        return None
    return replace(one, raw_inputs=True), [Arm(("unnormalized_inputs",), one)], "raw"


def unshuffled_data(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str] | None:
    if not is_classifier(one):
        return None
    return replace(one, shuffle=False), [Arm(("unshuffled_data",), one)], "sorted by class"


def capacity_too_small(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    width = float(rng.choice([0.04, 0.08, 0.13]) if one.architecture == "mlp" else rng.choice([0.13, 0.25]))
    return replace(one, width=width), [Arm(("capacity_too_small",), one)], f"width x {width}"


def output_loss_mismatch(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    heads = (
        ["double_softmax", "double_softmax", "relu", "sigmoid", "raw_nll"]
        if is_classifier(one)
        else ["relu", "sigmoid"]
    )
    head = str(rng.choice(heads))
    return replace(one, head=head), [Arm(("output_loss_mismatch",), one)], head


def over_regularized(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    how = str(
        rng.choice(
            ["dropout", "decay", "input noise"] if kind_of(one) != "sequence" else ["dropout", "decay"]
        )
    )
    if how == "dropout":
        bad = replace(one, dropout=float(rng.choice([0.7, 0.85, 0.93])))
    elif how == "decay":
        strong = {"adamw": (1.0, 10.0), "adam": (0.03, 0.1)}.get(one.optimizer, (0.03, 0.1, 0.3))
        bad = replace(
            one, weight_decay=float(rng.choice(strong)) / (1 if one.optimizer != "adamw" else one.lr * 100)
        )
    else:
        bad = replace(one, input_noise=float(rng.choice([1.5, 3, 5])))
    return (
        bad,
        [Arm(("over_regularized",), replace(bad, dropout=0.0, weight_decay=0.0, input_noise=0.0))],
        how,
    )


def overfitting(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    batch, steps, epochs = LONG
    bad = replace(
        one, batch=batch, steps_per_epoch=steps, epochs=epochs, samples=int(rng.choice([120, 200, 300])), dropout=0.0,
        weight_decay=0.0, lr=rate * float(rng.choice([1, 2])), schedule="constant",
        width=max(one.width, 2.0) if one.architecture == "mlp" else one.width,
    )  # fmt: skip
    return (
        bad,
        [],
        f"{bad.samples} samples, {epochs} epochs",
    )  # its undo is the epoch of least validation loss


def not_training(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    how = str(rng.choice(["all", "body", "zero_rate"]))
    return replace(one, frozen=how), [Arm(("not_training",), one)], how


def train_eval_mismatch(one: Setup, rng: Rng, rate: float) -> tuple[Setup, list[Arm], str]:
    how = "batch_norm" if one.architecture in ("cnn_bn", "resnet") and rng.random() < 0.6 else "inputs"
    return replace(one, mismatch=how), [Arm(("train_eval_mismatch",), one)], how


RECIPES: Mapping[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        *(
            lr_too_low,
            lr_too_high,
            lr_decayed_too_early,
            noise_floor,
            vanishing_gradients,
            exploding_gradients,
        ),
        *(dead_relu, saturated_units, bad_initialization, class_imbalance, label_noise, small_dataset),
        *(unnormalized_inputs, unshuffled_data, capacity_too_small, output_loss_mismatch, over_regularized),
        *(overfitting, not_training, train_eval_mismatch),
    )
}
PAIRS = (
    ("label_noise", "lr_too_high"), ("class_imbalance", "lr_too_low"), ("over_regularized", "lr_too_low"),
    ("capacity_too_small", "label_noise"), ("small_dataset", "lr_too_high"), ("label_noise", "overfitting"),
    ("class_imbalance", "small_dataset"), ("unshuffled_data", "lr_too_high"),
    ("over_regularized", "capacity_too_small"),
)  # fmt: skip


ROUNDS = ("", "_2", "_3")  # all but the first train nets of other sizes
SHARES = {"mlp": 0.75, "rnn": 1.0}  # of the causes that a unit has room for; half where training is dear


def plan(rates: Rates, size: float = 1.0) -> Iterator[tuple[str, list[Config]]]:
    """Yield the name and the configurations of each unit; always the same for the same rates.

    A unit is a task and an architecture. `size` is the share of the configurations to make; a smaller plan is
    the beginning of a larger one.
    """
    units = [(name, architecture) for name in TASKS for architecture in ARCHITECTURES[task(name).kind]]
    for again in ROUNDS:
        for name, architecture in units:
            if _trained(name, architecture, again):
                share = size * SHARES.get(architecture, 0.5)
                yield f"{name}-{architecture}{again}", list(_unit(name, architecture, again, rates, share))


def _trained(name: str, architecture: str, again: str) -> bool:
    """Whether a unit is part of a round: those that are dear to train are so in the first alone."""
    if again == "_2":
        return architecture not in ("cnn_bn", "resnet") or name in ("digits", "textures")
    return not again or (architecture == "mlp" and name not in ("teacher_3", "teacher_10", "impedance"))


def _unit(name: str, architecture: str, again: str, rates: Rates, size: float) -> Iterator[Config]:
    rng = np.random.default_rng(sum(map(ord, name + architecture + again)))
    unit = f"{name}-{architecture}{again}"
    wanted = [*rng.permutation(list(RECIPES)), *rng.permutation(list(RECIPES))[:8]]
    healthy, number, varied = 0, 0, bool(again)
    for i, cause in enumerate(wanted[: round(len(wanted) * size)]):
        made = _spoilt(sound(name, architecture, rng, rates, varied), rng, str(cause))
        for injected, severity, setup, arms in made:
            yield Config(f"{unit}-{number:03d}", injected, severity, setup, arms)
            number += 1
        if i % 2 == 0 or i % 7 == 0:
            setup, rate = sound(name, architecture, rng, rates, varied)
            if healthy % 3 == 1:
                setup = replace(setup, batch=SHORT[0], steps_per_epoch=SHORT[1], epochs=SHORT[2])
            artifact = ARTIFACTS[(healthy // 4) % len(ARTIFACTS)] if healthy % 8 == 3 else ""
            injected = ("logging_artifact",) if artifact else ()
            yield Config(
                f"{unit}-{number:03d}", injected, artifact, setup, tuple(_rate_arms(setup, rate)), artifact
            )
            healthy, number = healthy + 1, number + 1


def _spoilt(
    chosen: tuple[Setup, float], rng: Rng, cause: str
) -> Iterator[tuple[tuple[str, ...], str, Setup, tuple[Arm, ...]]]:
    setup, rate = chosen
    made = RECIPES[cause](setup, rng, rate)
    if made is None:
        return
    bad, arms, severity = made
    yield (cause,), severity, bad, _distinct(bad, [*arms, *_rate_arms(bad, rate)])
    partners = [pair for pair in PAIRS if pair[0] == cause]
    if partners and rng.random() < 0.35:
        other = partners[rng.integers(len(partners))][1]
        second = RECIPES[other](bad, rng, rate)
        if second is not None:
            worse, more, other_severity = second
            changed = {k: v for k, v in vars(worse).items() if v != getattr(bad, k)}
            first = [replace(arm, setup=replace(arm.setup, **changed)) for arm in arms]
            yield (cause, other), f"{severity}; {other_severity}", worse, _distinct(worse, [*first, *more])


def _distinct(setup: Setup, arms: list[Arm]) -> tuple[Arm, ...]:
    """Return the arms without those that change nothing or were named before."""
    kept: dict[tuple[tuple[str, ...], Setup], Arm] = {
        (arm.causes, arm.setup): arm for arm in arms if arm.setup != setup
    }
    return tuple(kept.values())
