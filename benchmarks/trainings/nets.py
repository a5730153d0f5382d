"""Small nets, many copies side by side: every parameter and every activation has a leading or second copy axis.

Images run as (batch, copies, channels, h, w), so that one grouped convolution serves all copies; the rest runs as
(copies, batch, ...). A net is a list of weight layers in forward order and one function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from trainings.tasks import Task

__all__ = ["ARCHITECTURES", "Net", "Shape"]

ARCHITECTURES = {
    "image": ("mlp", "cnn", "cnn_bn", "resnet"),
    "table": ("mlp",),
    "sequence": ("rnn", "attention"),
}


@dataclass(frozen=True)
class Shape:
    """What copies must share to run side by side."""

    architecture: str
    width: float = 1.0
    depth: int = 2
    activation: str = "relu"


@dataclass
class Members:
    """What may differ from copy to copy; each of shape (copies,)."""

    slope: Tensor
    dropout: Tensor
    bn_momentum: Tensor
    gain: Tensor
    last_gain: Tensor
    bias: Tensor
    symmetric: Tensor


@dataclass
class Net:
    """The stacked parameters of all copies, and how they compute.

    Attributes:
        params: name -> (copies, ...).
        kernels: Names of the weight arrays in forward order.
        outputs: Filled by a forward pass with `watch`: name -> hidden activations, (copies, n).
    """

    task: Task
    shape: Shape
    members: Members
    params: dict[str, Tensor] = field(default_factory=dict)
    kernels: list[str] = field(default_factory=list)
    running: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    watch: bool = False
    training: bool = True

    def __post_init__(self) -> None:
        self.copies = len(self.members.slope)
        {"mlp": self._make_mlp, "rnn": self._make_rnn, "attention": self._make_attention}.get(
            self.shape.architecture, self._make_cnn
        )()
        last = self.kernels[-1]
        with torch.no_grad():
            self.params[last] *= _along(self.members.last_gain / self.members.gain, self.params[last])
            for name in self.kernels:  # a symmetric start: all units of a layer alike
                w = self.params[name]
                same = w.abs().mean(dim=tuple(range(1, w.dim())), keepdim=True).expand_as(w)
                self.params[name] = torch.where(_along(self.members.symmetric, w) > 0, same, w)
        for value in self.params.values():
            value.requires_grad_(True)

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits (copies, batch, classes) of inputs (copies, batch, ...)."""
        self.outputs = {}
        forward: Callable[[Tensor], Tensor] = {
            "mlp": self._mlp,
            "rnn": self._rnn,
            "attention": self._attention,
            "resnet": self._resnet,
        }.get(self.shape.architecture, self._cnn)
        return forward(x)

    # --- parts

    def _kernel(self, name: str, *size: int, fan_in: int) -> None:
        gain = {"relu": math.sqrt(2.0), "gelu": math.sqrt(2.0)}.get(self.shape.activation, 1.0)
        w = torch.randn(self.copies, *size) * gain / math.sqrt(fan_in)
        self.params[f"{name}/kernel"] = w * _along(self.members.gain, w)
        self.kernels.append(f"{name}/kernel")

    def _bias(self, name: str, size: int, hidden: bool = True) -> None:
        bias = torch.zeros(self.copies, size)
        self.params[f"{name}/bias"] = bias + self.members.bias[:, None] if hidden else bias

    def _dense(self, name: str, inputs: int, outputs: int, hidden: bool = True) -> None:
        self._kernel(name, inputs, outputs, fan_in=inputs)
        self._bias(name, outputs, hidden)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return torch.baddbmm(self.params[f"{name}/bias"][:, None], x, self.params[f"{name}/kernel"])

    def _act(self, name: str, x: Tensor, axis: int = 0) -> Tensor:
        match self.shape.activation:
            case "relu":
                slope = self.members.slope.reshape(*(-1 if i == axis else 1 for i in range(x.dim())))
                out = torch.where(x > 0, x, slope * x)
            case "gelu":
                out = F.gelu(x)
            case other:
                out = getattr(torch, other)(x)
        if self.watch:
            self.outputs[name] = out.detach().transpose(0, axis).reshape(self.copies, -1)
        return out

    def _drop(self, x: Tensor, axis: int = 0) -> Tensor:
        if not self.training or not bool((self.members.dropout > 0).any()):
            return x
        p = self.members.dropout.reshape(*(-1 if i == axis else 1 for i in range(x.dim())))
        return x * (torch.rand_like(x) >= p) / (1 - p)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        """Normalize (batch, copies, channels, h, w) over batch and places."""
        if self.training:
            var, mean = torch.var_mean(x, dim=(0, 3, 4), unbiased=False)
            with torch.no_grad():
                m = self.members.bn_momentum[:, None]
                for key, value in (("mean", mean), ("var", var)):
                    old = self.running.get(f"{name}/{key}", torch.full_like(value, float(key == "var")))
                    self.running[f"{name}/{key}"] = old + m * (value - old)
        else:
            mean, var = self.running[f"{name}/mean"], self.running[f"{name}/var"]
        scale, shift = self.params[f"{name}/scale"], self.params[f"{name}/shift"]
        factor = scale * torch.rsqrt(var + 1e-5)
        return x * factor[None, :, :, None, None] + (shift - mean * factor)[None, :, :, None, None]

    def _make_norm(self, name: str, channels: int) -> None:
        self.params[f"{name}/scale"] = torch.ones(self.copies, channels)
        self.params[f"{name}/shift"] = torch.zeros(self.copies, channels)

    def _conv(self, name: str, x: Tensor, bias: bool = True) -> Tensor:
        w = self.params[f"{name}/kernel"]
        b = self.params[f"{name}/bias"].flatten() if bias else None
        y = F.conv2d(x.flatten(1, 2), w.flatten(0, 1), b, padding=1, groups=self.copies)
        return y.unflatten(1, (self.copies, -1))

    # --- nets

    def _wide(self, units: int) -> int:
        return max(1, round(units * self.shape.width))

    def _make_mlp(self) -> None:
        inputs = math.prod(self.task.pool[0].shape[1:])
        for i in range(self.shape.depth):
            self._dense(f"{i:02d}_dense", inputs, self._wide(48))
            inputs = self._wide(48)
        self._dense(f"{self.shape.depth:02d}_out", inputs, max(1, self.task.classes), hidden=False)

    def _mlp(self, x: Tensor) -> Tensor:
        x = x.flatten(2)
        for i in range(self.shape.depth):
            x = self._drop(self._act(f"{i:02d}_dense", self._linear(f"{i:02d}_dense", x)))
        return self._linear(f"{self.shape.depth:02d}_out", x)

    def _make_cnn(self) -> None:
        """Depth convolutions, two of them followed by pooling; then a dense layer, or the mean in a resnet."""
        normed, channels = self.shape.architecture in ("cnn_bn", "resnet"), 1
        for i in range(self.shape.depth):
            outputs = self._wide(8 if i == 0 or self.shape.architecture == "resnet" else 12)
            self._kernel(f"{i:02d}_conv", outputs, channels, 3, 3, fan_in=channels * 9)
            if normed:
                self._make_norm(f"{i:02d}_norm", outputs)
            else:
                self._bias(f"{i:02d}_conv", outputs)
            channels = outputs
        side = self.task.pool[0].shape[-1] // 2 // (2 if self.shape.depth > 1 else 1)
        inputs = channels if self.shape.architecture == "resnet" else channels * side**2
        if self.shape.architecture != "resnet":
            self._dense(f"{self.shape.depth:02d}_dense", inputs, self._wide(32))
            inputs = self._wide(32)
        self._dense(f"{self.shape.depth + 1:02d}_out", inputs, self.task.classes, hidden=False)

    def _cnn(self, x: Tensor) -> Tensor:
        x, normed = x.transpose(0, 1), self.shape.architecture == "cnn_bn"
        for i in range(self.shape.depth):
            x = self._conv(f"{i:02d}_conv", x, bias=not normed)
            x = self._act(f"{i:02d}_conv", self._norm(f"{i:02d}_norm", x) if normed else x, axis=1)
            if i < 2:
                x = F.max_pool2d(x.flatten(1, 2), 2).unflatten(1, (self.copies, -1))
        x = self._drop(x.flatten(2).transpose(0, 1))
        x = self._act(f"{self.shape.depth:02d}_dense", self._linear(f"{self.shape.depth:02d}_dense", x))
        return self._linear(f"{self.shape.depth + 1:02d}_out", self._drop(x))

    def _resnet(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        x = self._act("00_conv", self._norm("00_norm", self._conv("00_conv", x, False)), axis=1)
        x = F.max_pool2d(x.flatten(1, 2), 2).unflatten(1, (self.copies, -1))
        for i in range(1, self.shape.depth):
            y = self._norm(f"{i:02d}_norm", self._conv(f"{i:02d}_conv", x, False))
            x = self._act(f"{i:02d}_conv", x + y, axis=1)
        x = self._drop(x.mean((3, 4)).transpose(0, 1))
        return self._linear(f"{self.shape.depth + 1:02d}_out", x)

    def _make_rnn(self) -> None:
        units = self._wide(24)
        self._kernel("00_embed", self.task.tokens, 8, fan_in=1)
        self._dense("01_input", 8, units)
        self._kernel("02_recurrent", units, units, fan_in=units)
        self._dense("03_out", units, max(1, self.task.classes), hidden=False)

    def _rnn(self, x: Tensor) -> Tensor:
        seen = self._linear("01_input", self._embedded(x).flatten(1, 2)).unflatten(1, x.shape[1:])
        state = torch.zeros_like(seen[:, :, 0])
        for i in range(x.shape[2]):
            state = torch.baddbmm(seen[:, :, i], state, self.params["02_recurrent/kernel"])
            state = self._act("02_recurrent", state)
        return self._linear("03_out", self._drop(state))

    def _embedded(self, x: Tensor) -> Tensor:
        table = self.params["00_embed/kernel"]
        at = x.flatten(1)[..., None].expand(-1, -1, table.shape[2])
        return torch.gather(table, 1, at).unflatten(1, x.shape[1:])

    def _make_attention(self) -> None:
        units, length = self._wide(16), self.task.pool[0].shape[1]
        self._kernel("00_embed", self.task.tokens, units, fan_in=2)
        self.params["00_place/bias"] = torch.randn(self.copies, length, units) * 0.5
        for i in range(self.shape.depth):
            self._dense(f"{3 * i + 1:02d}_attend", units, 3 * units, hidden=False)
            self._dense(f"{3 * i + 2:02d}_wide", units, 2 * units)
            self._dense(f"{3 * i + 3:02d}_narrow", 2 * units, units, hidden=False)
        self._dense(f"{3 * self.shape.depth + 1:02d}_out", units, max(1, self.task.classes), hidden=False)

    def _attention(self, x: Tensor) -> Tensor:
        y = self._embedded(x) + self.params["00_place/bias"][:, None]
        for i in range(self.shape.depth):
            y = y + self._mixed(f"{3 * i + 1:02d}_attend", F.layer_norm(y, y.shape[-1:]))
            inner = F.layer_norm(y, y.shape[-1:]).flatten(1, 2)
            inner = self._act(f"{3 * i + 2:02d}_wide", self._linear(f"{3 * i + 2:02d}_wide", inner))
            inner = self._linear(f"{3 * i + 3:02d}_narrow", self._drop(inner))
            y = y + inner.unflatten(1, y.shape[1:3])
        return self._linear(f"{3 * self.shape.depth + 1:02d}_out", F.layer_norm(y, y.shape[-1:]).mean(2))

    def _mixed(self, name: str, y: Tensor) -> Tensor:
        query, key, value = self._linear(name, y.flatten(1, 2)).unflatten(1, y.shape[1:3]).chunk(3, -1)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return scores.softmax(-1) @ value


def _along(values: Tensor, like: Tensor) -> Tensor:
    """Return (copies,) values in a shape that multiplies (copies, ...)."""
    return values.reshape(-1, *(1 for _ in like.shape[1:]))
