"""Wraps torch in a trial's child: plain loops, Lightning's Trainer and transformers' Trainer alike.

It holds on to `torch.optim.Optimizer`: the knobs of model and optimizer are turned when an optimizer is given
its parameters, before any training; those of the rate around each step (`torch_training.py`).
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.torch_training import Training

__all__ = ["CAN", "CANNOT", "wrap"]

CAN = {  # knob -> where
    "learning_rate": "any torch.optim.Optimizer; the script's own schedule keeps its shape",
    "learning_rate_scale": "any torch.optim.Optimizer",
    "schedule": "any torch.optim.Optimizer; in place of the script's own, but for warm_up",
    "optimizer": "any torch.optim.Optimizer",
    "clip_norm": "any torch.optim.Optimizer",
    "batch_size_scale": "a DataLoader that makes its batches itself",
    "weight_decay": "any optimizer with weight decay",
    "weight_decay_scale": "any optimizer with weight decay",
    "dropout": "dropout modules; before the last layer in a model without any",
    "dropout_scale": "dropout modules",
    "batch_normalization": "after dense and convolutional modules of a model without normalization",
    "activation": "activation modules",
    "width_scale": "hidden layers within a Sequential",
    "initializer": "dense and convolutional modules",
    "class_weights": "cross_entropy and binary_cross_entropy, by the labels seen so far",
    "label_smoothing": "cross_entropy and binary_cross_entropy",
    "normalize_inputs": "the first input of the model",
    "shuffle": "a DataLoader over an indexed data set",
    "augmentation": "image tensors",
    "train_all_layers": "any model",
    "early_stopping_patience": "a script that evaluates",
}
CANNOT = {
    "skip_connections": "the way through the network is the code of the model",
    "backbone": "another network takes the place of the model's code",
    "unfreeze_last": "it goes with a backbone",
}


def wrap(arm: Arm, torch: Any) -> None:
    """Wrap `torch.optim.Optimizer`, the loss functions and the data loaders."""
    training = Training(arm, torch, CANNOT, _held_on)
    kind = torch.optim.Optimizer
    original = kind.add_param_group

    @wraps(original)
    def add_param_group(optimizer: Any, group: Any) -> None:
        training.before_group(group)
        original(optimizer, group)
        training.after_group(optimizer)

    kind.add_param_group = add_param_group
    hooks = sys.modules[kind.__module__]  # torch.optim.optimizer; torch.optim hides the name
    hooks.register_optimizer_step_pre_hook(training.before_step)
    hooks.register_optimizer_step_post_hook(training.after_step)
    if not arm.watched:
        _refuse_many(arm, torch)


def _refuse_many(arm: Arm, torch: Any) -> None:
    """Refuse a training that is spread over processes by its own code."""
    from plateau_doctor.trials.wrap import refuse

    if not torch.distributed.is_available():
        return
    original = torch.distributed.init_process_group

    @wraps(original)
    def init(*args: Any, **kwargs: Any) -> Any:
        world = kwargs.get("world_size", -1)
        if isinstance(world, int) and world > 1:
            refuse(arm, f"torch.distributed.init_process_group(world_size={world})")
        return original(*args, **kwargs)

    torch.distributed.init_process_group = init


def _held_on() -> str:
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("lightning.pytorch", "pytorch_lightning")):
            return "lightning.Trainer"
        if name.startswith("transformers.trainer"):
            return "transformers.Trainer"
        frame = frame.f_back  # type: ignore[assignment]
    return "torch.optim"
