"""What goes on around a torch training in a trial's child: what is evaluated and counted, and when the script ends.

An epoch is a pass over a DataLoader in which steps were made, or, without a DataLoader, the steps up to an evaluation.
At the cap the model is scored on what the script evaluated so far and the script ends (`Arm.leave`). A script that has
evaluated nothing yet goes on until it has, or until its next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from plateau_doctor.recorders.hooks import Hook
from plateau_doctor.trials.arm import Arm, told
from plateau_doctor.trials.torch_backward import listen
from plateau_doctor.trials.torch_data import Loaders
from plateau_doctor.trials.torch_evaluation import Evaluation
from plateau_doctor.trials.torch_layers import Layers
from plateau_doctor.trials.torch_log import Log
from plateau_doctor.trials.torch_losses import Losses
from plateau_doctor.trials.torch_models import Models
from plateau_doctor.trials.torch_patience import Patience
from plateau_doctor.trials.torch_rates import Rates
from plateau_doctor.trials.torch_score import HeldOut, fingerprint

__all__ = ["Training"]


class Training:
    """What goes on around the steps of all optimizers of the script.

    `cannot` tells why a knob cannot be turned; `held_on` says, in a step, what calls it.
    """

    def __init__(self, arm: Arm, torch: Any, cannot: Mapping[str, str], held_on: Callable[[], str]) -> None:
        self._arm, self._torch = arm, torch
        self._cannot, self._held_on = cannot, held_on
        self._held_out = self._nothing_held_out()
        self._layers, self._rates = Layers(arm, torch), Rates(arm, torch)
        self._loaders = Loaders(arm, torch, self._evaluating, self._pass_over)
        Losses(arm, torch, self._evaluating, self._loss_heard)
        listen(arm, torch, self._backward)
        self._log: Log | None = None
        self._model: Any = None
        self._optimizer: Any = None
        self._last: Any = None
        self._patience = Patience(arm)
        self._models = Models(torch, self._called_first, self._hang_on)
        self._since_epoch = self._since_evaluation = 0  # steps
        self._epoch_length: int | None = None
        self._scored_at = -1
        self._scoring = False
        arm.at_end.append(self._end)

    # -- the optimizer is made --------------------------------------------------------------------------------

    def before_group(self, group: Any) -> None:
        """Change the model whose parameters an optimizer is about to be given."""
        if self._rates.making:
            return
        self._models.watch()
        if not self._arm.knobs:
            return
        with told(self._arm, "the model could not be changed"):
            group["params"] = self._layers.turned(group["params"])

    def after_group(self, optimizer: Any) -> None:
        """Change the settings of the group that was added."""
        if self._rates.making:
            return
        self._models.made(optimizer)
        if not self._arm.knobs:
            return
        with told(self._arm, "the optimizer could not be changed"):
            self._rates.take_over(optimizer)
            self._rates.decay(optimizer.param_groups[-1])

    def _called_first(self, module: Any, args: Any) -> Any:
        if self._arm.watched:
            with told(self._arm, "the first step is not recorded"):
                self._hold_on_early(module)
        else:
            with told(self._arm, "the inputs could not be changed"):
                return self._layers.attend(module, args)
        return None

    def _hold_on_early(self, module: Any) -> None:
        """Let the first call in training tell the model, so that its first step is recorded too."""
        training = module.training and self._torch.is_grad_enabled()
        optimizer = self._models.new_optimizer_of(module) if training else None
        if optimizer is not None:
            self._models.attach(optimizer)
            self._hold_on(optimizer)
            self._calling()

    def _hang_on(self, model: Any) -> None:
        model.register_forward_pre_hook(Hook(self._calling))
        model.register_forward_hook(Hook(self._called), with_kwargs=True)

    # -- the steps --------------------------------------------------------------------------------------------

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> Any:
        """Turn the knobs of this step; end the script if no step is left."""
        if self._arm.at_cap:
            self._leave_script()
        with told(self._arm, "the step could not be changed"):
            if not self._models.has(optimizer):
                self._models.attach(optimizer)
            if self._optimizer is None:
                self._hold_on(optimizer)
            elif optimizer is self._last is not self._optimizer:  # it steps again on its own: a new phase
                self._count()  # its first step, which might have been that of a second network's optimizer
                self._hold_on(optimizer)
            self._last = optimizer
            self._arm.begin()
            self._take_evaluation()
            # the hook gets (optimizer, *args) as the method does
            changed = self._rates.before_step(optimizer, args[1:], kwargs, self._total())
            if changed is not None:
                return (optimizer, *changed[0]), changed[1]
        return None

    def after_step(self, optimizer: Any, *_: Any) -> None:
        """Count the step, and score at the cap."""
        with told(self._arm, "the step was not counted"):
            self._rates.after_step()
            if optimizer is not self._optimizer:  # a second optimizer's steps are no steps of their own
                return
            self._count()
            if self._log is not None:
                self._log.stepped(self._rates.last)
        if self._arm.steps_left == 0 and self._held_out.known:
            self._leave_script()

    def _count(self) -> None:
        self._arm.stepped()
        self._since_epoch += 1
        self._since_evaluation += 1
        self._loaders.stepped()

    def _hold_on(self, optimizer: Any) -> None:
        """Let this be the optimizer whose steps are counted, and its model the one that is scored."""
        self._optimizer, model = optimizer, self._models.of(optimizer)
        self._arm.hold_on(self._held_on())
        for knob in self._arm.knobs:
            if knob in self._cannot:
                self._arm.not_testable(knob, self._cannot[knob])
        if model is None:
            self._arm.add("problems", "no module was called before the first step; nothing can be scored")
            return
        another = model is not self._model
        if another:
            self._model, self._held_out = model, self._nothing_held_out()
        before = 0 if self._log is None else self._log.step
        if self._log is not None:
            self._log.close()
            if self._log.off:  # one warning is enough
                return
        first = self._arm.steps if not self._arm.watched else None if another else before
        self._log = Log(self._arm, self._torch, model, optimizer, self._arm.logs(another), first)

    def _nothing_held_out(self) -> HeldOut | Evaluation:
        return Evaluation(self._torch) if self._arm.watched else HeldOut(self._arm, self._torch)

    def _total(self) -> int | None:
        """Return the steps of the trial, where the cap and the length of an epoch tell."""
        order = self._arm.order
        if order.steps is not None:
            return order.steps
        loader = self._loaders.current
        if order.epochs is None or (loader is None and self._epoch_length is None):
            return None
        return order.epochs * (self._epoch_length or len(loader))

    # -- what the script calls --------------------------------------------------------------------------------

    def _evaluating(self) -> bool:
        if not self._torch.is_grad_enabled():
            return True
        return self._model is not None and not self._model.training

    def _calling(self, *_: Any) -> None:
        if not self._torch.compiler.is_compiling() and self._log is not None and not self._evaluating():
            self._log.calling()

    def _backward(self, value: Any) -> None:
        if self._log is not None:
            self._log.backward(value)

    def _called(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._torch.compiler.is_compiling() or self._scoring or module is not self._model:
            return
        with told(self._arm, "a call of the model was not heard"):
            self._loaders.used()
            if not self._evaluating():
                own = getattr(output, "loss", None)
                if own is not None and self._log is not None:
                    self._log.own_loss(own, "num_items_in_batch" in kwargs)
                return
            loader = self._loaders.current
            if loader is not None and self._loaders.is_training(loader):
                return
            if self._since_evaluation:
                self._begin_evaluation(loader)
            self._held_out.called(self._layers.as_given(args), kwargs, output, _key(loader))

    def _begin_evaluation(self, loader: Any) -> None:
        if not self._loaders.any_trained and self._since_epoch:
            self._epoch_over()
        self._held_out.begin_pass(_key(loader))
        self._since_evaluation = 0

    def _loss_heard(
        self, name: str, loss: Any, guess: Any, target: Any, value: Any, evaluating: bool
    ) -> None:
        if self._scoring or self._model is None:
            return
        if evaluating:
            self._held_out.lost(name, loss, guess, target, value)
        elif self._log is not None and value.requires_grad:
            self._log.heard(name, guess, target, value)

    def _pass_over(self, loader: Any) -> None:
        if self._scoring:
            return
        if self._loaders.is_training(loader):
            if self._since_epoch:
                self._epoch_over()
        elif self._arm.at_cap and self._held_out.known:
            self._leave_script()

    # -- epochs and the end -----------------------------------------------------------------------------------

    def _epoch_over(self) -> None:
        steps, self._since_epoch = self._since_epoch, 0
        self._epoch_length = self._epoch_length or steps
        self._arm.tell(epochs=self._arm.outcome.epochs + 1)
        self._arm.write()
        if self._log is not None:
            batch = getattr(self._loaders.last, "batch_size", None)
            self._log.epoch_over(self._arm.outcome.epochs, steps, batch)
        if self._arm.epochs_left == 0 and self._loaders.any_trained and self._held_out.known:
            self._leave_script()

    def _take_evaluation(self) -> None:
        """Take the result of an evaluation by the script, if one is over since the last step."""
        loss = self._held_out.mean
        if self._since_evaluation or loss is None or not self._arm.steps:
            return
        self._since_evaluation = 1  # not again before the next one
        self._rates.after_epoch(loss)
        if self._log is not None:
            self._log.evaluated(loss, self._held_out.metrics)
        if self._patience.over(loss, self._model):
            self._leave_script()

    def _leave_script(self) -> None:
        self._take_evaluation()
        self._score()
        if self._log is not None:
            self._log.close()
        self._arm.leave()

    def _end(self) -> None:
        """Score as the process ends, if the script came to its own end."""
        if self._model is None or self._arm.outcome.ended is not None:
            return
        if not self._arm.crashed:
            self._loaders.settle()
            self._take_evaluation()
            self._score()
        if self._log is not None:
            self._log.close()

    def _score(self) -> None:
        if self._model is None or self._scored_at == self._arm.steps:
            return
        if self._arm.watched:
            if not self._held_out.known:
                self._arm.add("problems", f"no validation loss is logged: {NOT_HEARD}")
            return
        self._scored_at, self._scoring = self._arm.steps, True
        try:
            with told(self._arm, "no score"):
                self._patience.restore(self._model)
                self._arm.tell(fingerprint=fingerprint(self._model.parameters()))
                if isinstance(self._held_out, HeldOut) and self._held_out.known:
                    self._held_out.score(self._model)
                else:
                    self._arm.tell(scored_on=NOTHING)
        finally:
            self._scoring = False


NOT_HEARD = "no loss of torch.nn.functional came with gradients off or the model in evaluation mode"
NOTHING = f"nothing: {NOT_HEARD}"


def _key(loader: Any) -> object:
    return None if loader is None else id(loader.dataset)
