"""The steps of one torch optimizer: what is kept before and after one that is recorded, and fetched in one go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plateau_doctor.recorders.sample import Sample
from plateau_doctor.recorders.tape import Layer
from plateau_doctor.recorders.torch_model import fetched, gradients_of, norms_of, part_of, scale_of

__all__ = ["Update"]


class Update:
    """The steps of one optimizer, and the kernels that it moves.

    Samples and norms stay on the device of the kernels until the step is over.

    Args:
        torch: The module.
        optimizer: The optimizer.
        kernels: Name -> kernel of the model; those of other optimizers are left out.
        steps: Steps that it made before.

    Attributes:
        optimizer: The optimizer.
        steps: Steps that it made.
        rate: Learning rate of the step, of the first group.
        whole: Whether the norm over all gradients of the present step is written.
        closed: Whether the step was given a closure.
    """

    def __init__(self, torch: Any, optimizer: Any, kernels: Mapping[str, Any], steps: int) -> None:
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.optimizer, self.steps = optimizer, steps
        self.whole = self.closed = False
        self.rate: float | None = None
        self._torch = torch
        self._kernels = {name: kernel for name, kernel in kernels.items() if id(kernel) in own}
        self._norm: Any = None
        self._before: dict[str, Any] = {}
        self._slopes: dict[str, Any] = {}
        self._norms: dict[str, Any] = {}

    @property
    def recorded(self) -> bool:
        """Whether the layers of the present step are written."""
        return bool(self._before)

    @property
    def norm(self) -> float | None:
        """Norm over all gradients of the present step; None where it is not whole, or has none."""
        return None if self._norm is None else float(self._norm)

    def begin(self, recorded: bool) -> None:
        """Keep samples of the kernels as they are, where the step is recorded."""
        self._before = {n: part_of(kernel) for n, kernel in self._kernels.items()} if recorded else {}

    def take(self) -> None:
        """Keep what is written of the gradients."""
        scale = scale_of(self.optimizer) if self.whole or self.recorded else 1.0
        slopes = gradients_of(self.optimizer) if self.whole else []
        if slopes:
            norms = norms_of(self._torch, slopes)
            self._norm = self._torch.stack([n.to(norms[0].device) for n in norms]).norm() / scale
        if self.recorded:
            found = {n: k.grad.detach() for n, k in self._kernels.items() if k.grad is not None}
            dense = {n: slope.to_dense() if slope.is_sparse else slope for n, slope in found.items()}
            norms = norms_of(self._torch, list(dense.values()))
            self._norms = {n: norm / scale for n, norm in zip(dense, norms, strict=True)}
            self._slopes = {n: part_of(slope) / scale for n, slope in dense.items()}

    def layers(self) -> list[Layer]:
        """Return the kernels around the step, in one wait for the device."""
        kernels = list(self._kernels.values())
        after = {name: part_of(kernel) for name, kernel in self._kernels.items()}
        norms = dict(zip(self._kernels, norms_of(self._torch, kernels), strict=True))
        parts = (self._before, after, self._slopes, norms, self._norms)
        before, weights, slopes, norm, slope_norms = fetched(self._torch, parts)
        return [
            Layer(
                name,
                Sample(weights[name], kernel.numel()),
                float(norm[name][0]),
                before[name],
                Sample(slopes[name], kernel.numel()) if name in slopes else None,
                float(slope_norms[name][0]) if name in slope_norms else None,
            )
            for name, kernel in self._kernels.items()
        ]

    def end(self) -> None:
        """Count the step and forget it."""
        self.steps += 1
        self._norm = None
        self._before, self._slopes, self._norms = {}, {}, {}
