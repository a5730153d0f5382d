"""A recorder of a torch training that is asked for before there is a model: it begins when a trainer begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plateau_doctor.recorders.events import Setting
from plateau_doctor.recorders.torch import Recorder as TorchRecorder

__all__ = ["Later"]


class Later:
    """A callback of a trainer that logs what a diagnosis needs.

    Args:
        logdir: Folder of the run; one event file is written into it.
        every: Steps between two records of gradients, weights and activations; at the start they are denser.
        histograms: Whether histograms are written, beside norms and ratios.
        settings: What only the script knows: `batch_size`, `samples`, `classes` ...; told last, they count.
    """

    off = False

    def __init__(
        self, logdir: str | Path, every: int = 50, histograms: bool = True, **settings: Setting
    ) -> None:
        self._logdir, self._every, self._histograms, self._settings = logdir, every, histograms, settings
        self._recorder: TorchRecorder | None = None

    def _begin(self, model: Any, optimizers: Any, first_step: int, **told: Setting | None) -> None:
        """Hang on a model and its optimizers; `told` is what the trainer knows, None for what it does not."""
        known = {name: value for name, value in {**told, **self._settings}.items() if value is not None}
        self._recorder = TorchRecorder(
            model, optimizers, self._logdir, self._every, self._histograms, first_step, **known
        )

    def _end(self) -> None:
        """Take the hooks off and close the file."""
        if self._recorder is not None:
            self._recorder.close()
