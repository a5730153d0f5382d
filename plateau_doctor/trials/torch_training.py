"""What goes on around a torch training in a trial's child: what is evaluated and counted, and when the script ends.

An epoch is a pass over a DataLoader in which steps were made, or, without a DataLoader, the steps up to an evaluation.
At the cap the model is scored on what the script evaluated so far and the script ends (`Arm.leave`). A script that has
evaluated nothing yet goes on until it has, or until its next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plateau_doctor.trials.arm import Arm, told
from plateau_doctor.trials.torch_data import Loaders
from plateau_doctor.trials.torch_layers import Layers
from plateau_doctor.trials.torch_log import Log
from plateau_doctor.trials.torch_losses import Losses
from plateau_doctor.trials.torch_rates import Rates
from plateau_doctor.trials.torch_score import HeldOut, fingerprint

__all__ = ["Training"]

LOGS = "logs"


class Training:
    """What goes on around the steps of all optimizers of the script.

    `cannot` tells why a knob cannot be turned; `held_on` says, in a step, what calls it.
    """

    def __init__(self, arm: Arm, torch: Any, cannot: Mapping[str, str], held_on: Callable[[], str]) -> None:
        self._arm, self._torch = arm, torch
        self._cannot, self._held_on = cannot, held_on
        self._held_out = HeldOut(arm, torch)
        self._layers, self._rates = Layers(arm, torch), Rates(arm, torch)
        self._loaders = Loaders(arm, torch, self._evaluating, self._pass_over)
        Losses(arm, torch, self._evaluating, self._loss_heard)
        self._log: Log | None = None
        self._model: Any = None
        self._optimizer: Any = None
        self._last: Any = None
        # by optimizer, which is kept so that its id stays its own
        self._models: dict[int, tuple[Any, Any]] = {}
        self._outermost: Any = None
        self._depth = 0
        self._hooks: list[Any] = []
        self._since_epoch = 0  # steps
        self._since_evaluation = 0
        self._epoch_length: int | None = None
        self._scored_at = -1
        self._scoring = False
        self._best: tuple[float, Any] | None = None
        self._waited = 0
        arm.at_end.append(self._end)

    # -- the optimizer is made --------------------------------------------------------------------------------

    def before_group(self, group: Any) -> None:
        """Change the model whose parameters an optimizer is about to be given."""
        if self._rates.making:
            return
        if not self._hooks:
            self._watch()
        if not self._arm.knobs:
            return
        with told(self._arm, "the model could not be changed"):
            given = group["params"]
            given = [given] if hasattr(given, "grad") else list(given)
            plain = [one[1] if isinstance(one, tuple) else one for one in given]
            new = self._layers.turn(plain)
            if given and isinstance(given[0], tuple):
                new = [(f"plateau_doctor.{i}", one) for i, one in enumerate(new)]
            group["params"] = [*given, *new]

    def after_group(self, optimizer: Any) -> None:
        """Change the settings of the group that was added."""
        if self._rates.making or not self._arm.knobs:
            return
        with told(self._arm, "the optimizer could not be changed"):
            self._rates.take_over(optimizer)
            self._rates.decay(optimizer.param_groups[-1])

    def _watch(self) -> None:
        """Find the module that the script calls: the outermost one of the calls before the first step."""
        hooks = self._torch.nn.modules.module
        self._hooks = [
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave, always_call=True),
        ]

    def _enter(self, module: Any, args: Any) -> Any:
        self._depth += 1
        if self._depth > 1 or next(module.parameters(), None) is None:
            return None
        self._outermost = module
        with told(self._arm, "the inputs could not be changed"):
            return self._layers.attend(module, args)
        return None

    def _leave(self, *_: Any) -> None:
        self._depth -= 1

    # -- the steps --------------------------------------------------------------------------------------------

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> Any:
        """Turn the knobs of this step; end the script if no step is left."""
        if self._arm.at_cap:
            self._leave_script()
        with told(self._arm, "the step could not be changed"):
            if id(optimizer) not in self._models:
                self._attach(optimizer)
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

    def _attach(self, optimizer: Any) -> None:
        """Take hold of the module that was called before this optimizer's first step."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._depth = [], 0
        model = self._outermost
        if model is not None and all(model is not known for _, known in self._models.values()):
            model.register_forward_hook(self._called, with_kwargs=True)
        self._models[id(optimizer)] = (optimizer, model)

    def _hold_on(self, optimizer: Any) -> None:
        """Let this be the optimizer whose steps are counted, and its model the one that is scored."""
        self._optimizer, model = self._models[id(optimizer)]
        self._arm.hold_on(self._held_on())
        for knob in self._arm.knobs:
            if knob in self._cannot:
                self._arm.not_testable(knob, self._cannot[knob])
        if model is None:
            self._arm.add("problems", "no module was called before the first step; nothing can be scored")
            return
        if model is not self._model:
            self._model, self._held_out = model, HeldOut(self._arm, self._torch)
        if self._log is not None:
            self._log.close()
        self._log = Log(self._arm, model, optimizer, Path(self._arm.order.folder) / LOGS)

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

    def _called(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._scoring or module is not self._model or self._torch.compiler.is_compiling():
            return
        with told(self._arm, "a call of the model was not heard"):
            if not self._evaluating():
                own = getattr(output, "loss", None)
                if own is not None and self._log is not None:
                    self._log.loss(own)
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
            self._log.loss(value)

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
        self._epoch_length = self._epoch_length or self._since_epoch
        self._since_epoch = 0
        self._arm.tell(epochs=self._arm.outcome.epochs + 1)
        self._arm.write()
        if self._log is not None:
            self._log.epoch_over(self._arm.outcome.epochs)
        if self._arm.epochs_left == 0 and self._loaders.any_trained and self._held_out.known:
            self._leave_script()

    def _take_evaluation(self) -> None:
        """Take the result of an evaluation by the script, if one is over since the last step."""
        loss = self._held_out.mean
        if self._since_evaluation or loss is None or not self._arm.outcome.steps:
            return
        self._since_evaluation = 1  # not again before the next one
        self._rates.after_epoch(loss)
        if self._log is not None:
            self._log.evaluated(loss)
        patience = self._arm.change.early_stopping_patience
        if patience is not None:
            self._arm.applied("early_stopping_patience", f"{patience} evaluations; the best weights are kept")
            if self._best is None or loss < self._best[0]:
                state = {k: v.detach().clone() for k, v in self._model.state_dict().items()}
                self._best, self._waited = (loss, state), 0
            else:
                self._waited += 1
            if self._waited >= max(1, patience):
                self._leave_script()

    def _leave_script(self) -> None:
        self._take_evaluation()
        self._score()
        if self._log is not None:
            self._log.close()
        self._arm.leave()

    def _end(self) -> None:
        """Score as the process ends, if the script came to its own end."""
        if self._model is not None and self._arm.outcome.ended is None and not self._arm.crashed:
            self._take_evaluation()
            self._score()
            if self._log is not None:
                self._log.close()

    def _score(self) -> None:
        if self._model is None or self._scored_at == self._arm.outcome.steps:
            return
        self._scored_at, self._scoring = self._arm.outcome.steps, True
        try:
            with told(self._arm, "no score"):
                if self._best is not None:
                    self._model.load_state_dict(self._best[1])
                self._arm.tell(fingerprint=fingerprint(self._model.parameters()))
                if self._held_out.known:
                    self._held_out.score(self._model)
                else:
                    self._arm.tell(scored_on=NOTHING)
        finally:
            self._scoring = False


NOTHING = "nothing: no loss of torch.nn.functional came with gradients off or the model in evaluation mode"


def _key(loader: Any) -> object:
    return None if loader is None else id(loader.dataset)
