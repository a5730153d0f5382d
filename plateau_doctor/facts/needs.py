"""What a fact needs to have been logged, in words. Ordered by what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import classes_of

__all__ = ["BESIDE", "NEEDS", "Need", "was_logged"]

BESIDE = "siblings"  # needs other runs, not another log: it is unknown without them, and never asked for


@dataclass(frozen=True)
class Need:
    """One kind of log, and what it is called."""

    log: str


NEEDS: Mapping[str, Need] = {
    "train_loss": Need("training loss"),
    "learning_rate": Need("learning rate"),
    "val_loss": Need("validation loss"),
    "train_metric": Need("training accuracy"),
    "val_metric": Need("validation accuracy"),
    "optimizer": Need("name of the optimizer"),
    "samples": Need("number of training samples"),
    "parameters": Need("number of trainable parameters"),
    "classes": Need("number of classes"),
    "majority_share": Need("share of the largest class"),
    "regularization": Need("dropout and weight decay"),
    "batch_size": Need("batch size"),
    "loss_name": Need("name of the loss"),
    "batch_loss": Need("loss of single batches"),
    "class_metrics": Need("recall of each class"),
    "grad_norm": Need("gradient norm"),
    "layer_weights": Need("weight norms of each layer"),
    "weight_histograms": Need("weight histograms"),
    "layer_update_ratio": Need("size of the updates of each layer"),
    "layer_gradients": Need("gradient norms of each layer"),
    "gradient_histograms": Need("gradient histograms"),
    "activation_histograms": Need("activation histograms"),
}


def was_logged(logged: Logged, need: str) -> bool:
    """Whether a run logged what `need` (a key of NEEDS) stands for.

    A fact can be None all the same: a learning rate that was never cut has no response to a cut.
    """
    if need in ROLES_NEEDED:
        return any(logged.tags_of(role) for role in ROLES_NEEDED[need])
    return OTHERWISE[need](logged)


def batches_logged(logged: Logged) -> bool:
    """Whether the training loss was logged at least three times an epoch, and the log tells what an epoch is."""
    fine, length = logged.finest, logged.epoch_length
    if fine is None or length is None:
        return False
    return bool(len(fine.steps) >= 3 * (fine.steps[-1] - fine.steps[0]) / length)


ROLES_NEEDED: Mapping[str, tuple[str, ...]] = {
    "train_loss": ("train_loss",),
    "val_loss": ("val_loss",),
    "train_metric": ("train_metric",),
    "val_metric": ("val_metric",),
    "learning_rate": ("learning_rate",),
    "class_metrics": ("class_metric",),
    "grad_norm": ("grad_norm", "layer_grad_norm"),
}
OTHERWISE: Mapping[str, Callable[[Logged], bool]] = {
    "optimizer": lambda logged: logged.text("optimizer", "optimizer_name", "optim") is not None,
    "samples": lambda logged: logged.setting("samples", "train_samples", "num_train", "n_train") is not None,
    "parameters": lambda logged: logged.setting("parameters", "num_parameters", "n_params") is not None,
    "classes": lambda logged: classes_of(logged) is not None,
    "majority_share": lambda logged: (
        logged.setting("majority_share", "class_share_max") is not None
        or any("majority_share" in tag for tag in logged.tags_of("other"))
    ),
    "regularization": lambda logged: logged.setting("dropout", "weight_decay", "l2") is not None,
    "batch_size": lambda logged: logged.setting("batch_size", "train_batch_size", "batch") is not None,
    "loss_name": lambda logged: logged.text("loss", "loss_function", "criterion", "loss_fn") is not None,
    "batch_loss": batches_logged,
    BESIDE: lambda logged: logged.siblings is not None,
    "weight_histograms": lambda logged: logged.histogram_shares("weight", "std") is not None,
    "layer_weights": lambda logged: logged.layers("weight") is not None,
    "layer_update_ratio": lambda logged: logged.layers("update_ratio") is not None,
    "layer_gradients": lambda logged: logged.layers("gradient") is not None,
    "gradient_histograms": lambda logged: logged.histogram_shares("gradient", "zeros") is not None,
    "activation_histograms": lambda logged: logged.histogram_shares("activation", "zeros") is not None,
}
