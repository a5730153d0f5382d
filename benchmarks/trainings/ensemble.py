"""Trains many small nets side by side, each with its own data, rate, regularization and fault, and logs them all.

Copies that share a `group` run in one batched computation; a copy that ends in NaN harms no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainings.nets import Members, Net, Shape
from trainings.tasks import Task, task

__all__ = ["Setup", "group", "train"]

RECORDS = 16  # writes of layers' norms and histograms in a run
BINS = 20
WORST = 20.0  # what a loss counts as at most, NaN included
SAMPLE = 2000  # activations of a layer that a histogram is made of


@dataclass(frozen=True)
class Setup:
    """One training, whole: what a script's author would have written, faults and all."""

    task: str
    architecture: str
    width: float = 1.0
    depth: int = 2
    activation: str = "relu"
    optimizer: str = "momentum"  # sgd, momentum, adam, adamw
    lr: float = 0.05
    schedule: str = "constant"  # constant, cosine, step, warm_up, early, one_cycle
    batch: int = 32
    steps_per_epoch: int = 20
    epochs: int = 25
    samples: int = 640
    gain: float = 1.0
    last_gain: float = 1.0
    bias: float = 0.0
    symmetric: bool = False
    slope: float = 0.0
    dropout: float = 0.0
    input_noise: float = 0.0
    weight_decay: float = 0.0
    label_noise: float = 0.0
    majority: float = 0.0
    class_weights: bool = False
    raw_inputs: bool = False
    shuffle: bool = True
    head: str = "ok"  # ok, double_softmax, relu, sigmoid, raw_nll
    clip: float = 0.0
    frozen: str = ""  # "", all, body, zero_rate
    mismatch: str = ""  # "", inputs, batch_norm
    seed: int = 0


def group(one: Setup) -> tuple[object, ...]:
    """Return what two setups must share to run side by side."""
    return (
        *(one.task, one.architecture, one.width, one.depth, one.activation, one.optimizer.startswith("adam")),
        *(one.batch, one.steps_per_epoch, one.epochs),
    )


@dataclass(eq=False)
class _Data:
    x: Tensor  # (copies, samples, ...) of the largest copy
    y: Tensor  # (copies, samples)
    sizes: np.ndarray
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    weights: Tensor  # (copies, classes)


def train(setups: Sequence[Setup]) -> list[dict[str, np.ndarray]]:
    """Train setups of one group; return a dict of arrays for each.

    Keys: `loss`, `accuracy`, `rate`, `grad_norm` (steps,); `val_loss`, `val_accuracy` (epochs,), `recall`
    (epochs, classes); `test` and `best_test`: loss and error on clean data at the end and at the epoch of
    least validation loss; `layers` (records, layers, 4): gradient norm, weight norm before the step, update
    ratio; `record_steps`; `summaries` (records, 3 kinds, layers, 6): mean, std, low, high, zeros, norm;
    `bins` (records, 3, layers, 20): counts between low and high.
    """
    torch.manual_seed(setups[0].seed * 7919 + len(setups))
    with torch.no_grad():
        one = setups[0]
        shape = Shape(one.architecture, one.width, one.depth, one.activation)
        net = Net(task(one.task), shape, _members(setups))
    return _Training(setups, net).run()


def _members(setups: Sequence[Setup]) -> Members:
    def column(name: str) -> Tensor:
        return torch.tensor([float(getattr(one, name)) for one in setups])

    momentum = torch.tensor([0.001 if one.mismatch == "batch_norm" else 0.1 for one in setups])
    return Members(
        column("slope"), column("dropout"), momentum, column("gain"), column("last_gain"),
        column("bias"), column("symmetric"),
    )  # fmt: skip


class _Training:
    def __init__(self, setups: Sequence[Setup], net: Net) -> None:
        self.setups, self.net, self.one = setups, net, setups[0]
        self.task: Task = net.task
        self.data = _data(setups, self.task)
        self.steps = self.one.epochs * self.one.steps_per_epoch
        self.rates = torch.tensor(
            np.stack([_rates(one, self.steps) for one in setups], axis=1), dtype=torch.float32
        )
        self.adam = self.one.optimizer.startswith("adam")
        self.momentum = _column(setups, lambda o: 0.9 if o.optimizer == "momentum" else 0.0)
        self.decay = _column(setups, lambda o: 0.0 if o.optimizer == "adamw" else o.weight_decay)
        self.decoupled = _column(setups, lambda o: o.weight_decay if o.optimizer == "adamw" else 0.0)
        self.clip = _column(setups, lambda o: o.clip or math.inf)
        self.noise = _column(setups, lambda o: o.input_noise)
        self.moving = {name: _column(setups, lambda o, n=name: _moves(o, n, net)) for name in net.params}
        self.seen = {name: _column(setups, lambda o, n=name: _has_gradient(o, n, net)) for name in net.params}
        self.first = {name: torch.zeros_like(p) for name, p in net.params.items()}
        self.second = {name: torch.zeros_like(p) for name, p in net.params.items()} if self.adam else {}
        self.every = max(1, self.steps // RECORDS)
        self.order_seed = np.random.default_rng(self.one.seed + 17)

    def run(self) -> list[dict[str, np.ndarray]]:
        logs: dict[str, list[np.ndarray]] = {
            key: [] for key in ("loss", "accuracy", "grad_norm", "val_loss", "val_accuracy", "recall", "test")
        }
        records: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for epoch in range(self.one.epochs):
            order = self._order()
            for i in range(self.one.steps_per_epoch):
                step = epoch * self.one.steps_per_epoch + i
                at = order[:, i * self.one.batch : (i + 1) * self.one.batch]
                self.net.watch = step % self.every == 0
                loss, accuracy, grads = self._gradients(at)
                norm = sum(g.flatten(1).square().sum(1) for g in grads.values()).sqrt()  # type: ignore[union-attr]
                before = self._step(step, grads, norm)
                if self.net.watch:
                    records.append(self._record(grads, before))
                for key, value in (("loss", loss), ("accuracy", accuracy), ("grad_norm", norm)):
                    logs[key].append(value.numpy())
            self.net.watch = False
            val_loss, _, val_accuracy, recall = self._evaluate(*self.data.val, own_loss=True)
            test_loss, test_error, _, _ = self._evaluate(*self.data.test)
            logs["val_loss"].append(val_loss.numpy())
            logs["val_accuracy"].append(val_accuracy.numpy())
            logs["recall"].append(recall.numpy())
            logs["test"].append(torch.stack([test_loss, test_error], 1).numpy())
        return self._logs({key: np.stack(value) for key, value in logs.items()}, records)

    def _order(self) -> Tensor:
        """Return the samples of an epoch, (copies, steps x batch): shuffled passes, or one sorted one."""
        need, rows = self.one.batch * self.one.steps_per_epoch, []
        for i, one in enumerate(self.setups):
            n = int(self.data.sizes[i])
            if one.shuffle:
                passes = [self.order_seed.permutation(n) for _ in range(-(-need // n))]
                rows.append(np.concatenate(passes)[:need])
            else:
                ranked = np.argsort(self.data.y[i, :n].numpy(), kind="stable")
                rows.append(ranked[np.arange(need) * n // need] if n >= need else np.resize(ranked, need))
        return torch.tensor(np.stack(rows))

    def _gradients(self, at: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        copies = torch.arange(len(self.setups))[:, None]
        x, y = self.data.x[copies, at], self.data.y[copies, at]
        if bool((self.noise > 0).any()):
            x = x + torch.randn_like(x) * self.noise.reshape(-1, *(1 for _ in x.shape[1:]))
        self.net.training = True
        outputs = self.net(x)
        loss, accuracy = self._loss(outputs, y), self._accuracy(outputs, y)
        grads = torch.autograd.grad(loss.sum(), list(self.net.params.values()))
        named = dict(zip(self.net.params, grads, strict=True))
        return loss.detach(), accuracy, {k: g * _like(self.seen[k], g) for k, g in named.items()}

    def _loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        losses = []
        for head in dict.fromkeys(one.head for one in self.setups):
            picked = torch.tensor([one.head == head for one in self.setups])
            each = self._each(_headed(outputs, head, bool(self.task.classes)), y, head)
            losses.append(torch.where(picked[:, None], each, torch.zeros_like(each)))
        each = torch.stack(losses).sum(0) if len(losses) > 1 else losses[0]
        if not self.task.classes:
            return each.mean(1)
        weights = torch.gather(self.data.weights, 1, y)
        return (each * weights).sum(1) / weights.sum(1).clamp(min=1e-9)

    def _each(self, outputs: Tensor, y: Tensor, head: str) -> Tensor:
        if not self.task.classes:
            return (outputs[..., 0] - y).square()
        if head == "raw_nll":
            return -torch.gather(outputs, 2, y[..., None])[..., 0]
        return F.cross_entropy(outputs.flatten(0, 1), y.flatten(), reduction="none").unflatten(0, y.shape)

    def _accuracy(self, outputs: Tensor, y: Tensor) -> Tensor:
        if not self.task.classes:
            return torch.full((len(self.setups),), math.nan)
        return (outputs.argmax(-1) == y).float().mean(1)

    @torch.no_grad()
    def _step(self, step: int, grads: dict[str, Tensor], norm: Tensor) -> dict[str, Tensor]:
        rate, shrink = self.rates[step], (self.clip / norm.clamp(min=1e-12)).clamp(max=1.0)
        before = {}
        for name, p in self.net.params.items():
            if self.net.watch and name in self.net.kernels:
                before[name] = p.detach().clone()
            g = grads[name] * _like(shrink, p)
            if name.endswith("kernel"):
                g = g + _like(self.decay, p) * p
            if self.adam:
                m = self.first[name].mul_(0.9).add_(g, alpha=0.1)
                v = self.second[name].mul_(0.999).add_(g * g, alpha=0.001)
                g = (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
                if name.endswith("kernel"):
                    g = g + _like(self.decoupled, p) * p
            else:
                g = self.first[name].mul_(_like(self.momentum, p)).add_(g)
            p -= _like(rate * self.moving[name], p) * g
        return before

    @torch.no_grad()
    def _record(
        self, grads: dict[str, Tensor], before: dict[str, Tensor]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, kinds = [], []
        for name in self.net.kernels:
            old, new = before[name].flatten(1), self.net.params[name].detach().flatten(1)
            size = old.norm(dim=1)
            rows.append(
                torch.stack([grads[name].flatten(1).norm(dim=1), size, (new - old).norm(dim=1) / size], 1)
            )
        kinds.append([_summary(grads[name].flatten(1)) for name in self.net.kernels])
        kinds.append([_summary(before[name].flatten(1)) for name in self.net.kernels])
        hidden = [out[:, :: max(1, out.shape[1] // SAMPLE)] for out in self.net.outputs.values()]
        acts = [_summary(out) for out in hidden]
        nothing = (torch.full((len(self.setups), 6), math.nan), torch.zeros(len(self.setups), BINS))
        kinds.append([acts[i] if i < len(acts) else nothing for i in range(len(self.net.kernels))])
        summaries = torch.stack([torch.stack([s for s, _ in kind], 1) for kind in kinds], 1)
        bins = torch.stack([torch.stack([b for _, b in kind], 1) for kind in kinds], 1)
        return torch.stack(rows, 1).numpy(), summaries.numpy(), bins.numpy()

    @torch.no_grad()
    def _evaluate(
        self, x: Tensor, y: Tensor, own_loss: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return loss, error, accuracy (copies,) and recall (copies, classes)."""
        self.net.training = False
        outputs = self.net(x)
        if not self.task.classes:
            loss = self._loss(outputs, y)
            return loss, _bounded(loss), torch.full_like(loss, math.nan), torch.zeros(len(loss), 0)
        right = (outputs.argmax(-1) == y).float()
        chosen = F.one_hot(y, self.task.classes).float()
        recall = (chosen * right[..., None]).sum(1) / chosen.sum(1)
        if own_loss:
            loss = self._plain_val(outputs, y)
        else:
            loss = torch.stack(
                [
                    _bounded(self._proper(outputs[i : i + 1], y[i : i + 1], one.head))
                    for i, one in enumerate(self.setups)
                ]
            )
        broken = ~torch.isfinite(outputs).flatten(1).all(1)
        error = torch.where(broken, 1 - 1 / self.task.classes, 1 - right.mean(1))
        return loss, error, right.mean(1), recall

    def _plain_val(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The validation loss as a script logs it: its own loss function, without class weights."""
        kept, self.data.weights = self.data.weights, torch.ones_like(self.data.weights)
        loss = self._loss(outputs, y)
        self.data.weights = kept
        return loss

    def _proper(self, outputs: Tensor, y: Tensor, head: str) -> Tensor:
        """Cross-entropy of the probabilities that the net stands for."""
        if head == "double_softmax":  # its outputs are probabilities already
            head = "ok"
        return F.cross_entropy(_headed(outputs, head, True).flatten(0, 1), y.flatten())

    def _logs(
        self, logs: dict[str, np.ndarray], records: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> list[dict[str, np.ndarray]]:
        parts = [np.stack([record[i] for record in records]) for i in range(3)]
        found = []
        for i in range(len(self.setups)):
            own = {key: value[:, i] for key, value in logs.items()}
            best = int(np.argmin(np.nan_to_num(own["val_loss"], nan=np.inf)))
            own["best_test"], own["best_epoch"] = own["test"][best], np.array(best)
            own["rate"] = self.rates[:, i].numpy()
            own |= {"layers": parts[0][:, i], "summaries": parts[1][:, i], "bins": parts[2][:, i]}
            own["record_steps"] = np.arange(len(records)) * self.every
            found.append(own)
        return found


def _data(setups: Sequence[Setup], of: Task) -> _Data:
    drawn = [_drawn(one, of) for one in setups]
    largest = max(len(x) for (x, _), _, _, _ in drawn)

    def stacked(arrays: Sequence[np.ndarray], size: int) -> Tensor:
        return torch.tensor(np.stack([np.resize(a, (size, *a.shape[1:])) for a in arrays]))

    val_size = min(len(y) for _, (_, y), _, _ in drawn)
    val_x, val_y = (stacked([v[i][:val_size] for _, v, _, _ in drawn], val_size) for i in range(2))
    test_x, test_y = (torch.tensor(np.stack([t[i] for _, _, t, _ in drawn])) for i in range(2))
    return _Data(
        stacked([x for (x, _), _, _, _ in drawn], largest),
        stacked([y for (_, y), _, _, _ in drawn], largest),
        np.array([len(x) for (x, _), _, _, _ in drawn]),
        (val_x, val_y),
        (test_x, test_y),
        torch.tensor(np.stack([w for _, _, _, w in drawn]), dtype=torch.float32),
    )  # fmt: skip


def _drawn(
    one: Setup, of: Task
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], tuple[np.ndarray, ...], np.ndarray]:
    """Return training, validation and test arrays of one setup, and the class weights of its loss."""
    rng = np.random.default_rng(1000 + one.seed)
    order = rng.permutation(len(of.pool[1]))
    x, y = of.pool[0][order], of.pool[1][order]
    val_x, val_y = of.val[0][:300], of.val[1][:300]
    test_x, test_y = of.test[0][:400], of.test[1][:400]
    if one.majority:
        label = one.seed % of.classes
        x, y = _uneven(x, y, label, one.majority, one.samples)
        val_x, val_y = _uneven(val_x, val_y, label, one.majority, 120)
    x, y = x[: one.samples], y[: one.samples]
    weights = np.ones(max(1, of.classes))
    if one.class_weights and of.classes:
        weights = 1 / np.maximum(np.bincount(y, minlength=of.classes), 1)
    if one.label_noise:
        y, val_y = (
            _noisy(y, one.label_noise, of.classes, rng),
            _noisy(val_y, one.label_noise, of.classes, rng),
        )
    if one.raw_inputs:
        x, val_x, test_x = (_raw(part, of) for part in (x, val_x, test_x))
    if one.mismatch == "inputs":
        val_x, test_x = (_shifted(part, of) for part in (val_x, test_x))
    return (x, y), (val_x, val_y), (test_x, test_y), weights


def _uneven(
    x: np.ndarray, y: np.ndarray, label: int, share: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    major, minor = np.flatnonzero(y == label), np.flatnonzero(y != label)
    size = min(size, int(len(major) / share))
    kept = np.concatenate([major[: round(size * share)], minor[: max(2, round(size * (1 - share)))]])
    kept = np.sort(kept)
    return x[kept], y[kept]


def _noisy(y: np.ndarray, share: float, classes: int, rng: np.random.Generator) -> np.ndarray:
    wrong = rng.random(len(y)) < share
    if classes:
        return np.where(wrong, rng.integers(0, classes, len(y)), y)
    return (y + np.where(wrong, rng.normal(0, 2, len(y)), 0)).astype(np.float32)


def _raw(x: np.ndarray, of: Task) -> np.ndarray:
    if of.kind == "image":
        return (x * 60 + 120).astype(np.float32)
    rng = np.random.default_rng(5)
    return (x * np.exp(rng.normal(2, 2, x.shape[1])) + np.exp(rng.normal(2, 2, x.shape[1]))).astype(
        np.float32
    )


def _shifted(x: np.ndarray, of: Task) -> np.ndarray:
    if of.kind == "sequence":
        return (x + 1) % of.tokens
    return (x * 0.3 + 1.2).astype(np.float32)


def _rates(one: Setup, steps: int) -> np.ndarray:
    t = np.arange(steps) / steps
    match one.schedule:
        case "cosine":
            factor = 0.5 + 0.5 * np.cos(np.pi * t)
        case "step":
            factor = 0.1 ** np.floor(t * 3)
        case "warm_up":
            factor = np.minimum(t / 0.1 + 1 / steps, 1) * (0.5 + 0.5 * np.cos(np.pi * t))
        case "one_cycle":
            factor = np.where(t < 0.3, 0.1 + 3 * t, 0.5 + 0.5 * np.cos(np.pi * (t - 0.3) / 0.7))
        case "early":
            factor = np.where(t < 0.05 + 0.03 * (one.samples % 7), 1.0, 0.01)
        case "early_cosine":
            factor = np.maximum(0.5 + 0.5 * np.cos(np.pi * np.minimum(t / 0.2, 1)), 0.001)
        case _:
            factor = np.ones(steps)
    return one.lr * factor * (0.0 if one.frozen == "zero_rate" else 1.0)


def _moves(one: Setup, name: str, net: Net) -> float:
    return 0.0 if one.frozen == "all" or (one.frozen == "body" and not _is_last(name, net)) else 1.0


def _has_gradient(one: Setup, name: str, net: Net) -> float:
    return 0.0 if one.frozen == "body" and not _is_last(name, net) else 1.0


def _is_last(name: str, net: Net) -> bool:
    return name.split("/")[0] == net.kernels[-1].split("/")[0]


def _headed(outputs: Tensor, head: str, classes: bool) -> Tensor:
    match head:
        case "double_softmax":
            return outputs.softmax(-1) if classes else outputs.sigmoid()
        case "relu":
            return outputs.relu()
        case "sigmoid":
            return outputs.sigmoid()
        case _:
            return outputs


def _summary(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return (copies, 6) mean, std, low, high, zeros, norm and (copies, 20) counts of (copies, n) values."""
    values = torch.nan_to_num(values, nan=0.0, posinf=1e30, neginf=-1e30)
    low, high = values.min(1).values, values.max(1).values
    place = (
        ((values - low[:, None]) / (high - low).clamp(min=1e-30)[:, None] * BINS).long().clamp(0, BINS - 1)
    )
    counts = torch.zeros(len(values), BINS).scatter_add_(1, place, torch.ones_like(values))
    zeros = (values == 0).float().mean(1)
    return torch.stack([values.mean(1), values.std(1), low, high, zeros, values.norm(dim=1)], 1), counts


def _column(setups: Sequence[Setup], of) -> Tensor:  # type: ignore[no-untyped-def]
    return torch.tensor([float(of(one)) for one in setups])


def _like(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1 for _ in like.shape[1:]))


def _bounded(loss: Tensor) -> Tensor:
    return torch.nan_to_num(loss, nan=WORST, posinf=WORST, neginf=WORST).clamp(max=WORST)


def with_seed(one: Setup, seed: int) -> Setup:
    return replace(one, seed=seed)
