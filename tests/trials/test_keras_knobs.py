"""Every knob on a small Keras model, in this process: what is said to be applied is measured on the model."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.keras import CAN, Training
from plateau_doctor.trials.order import Order

try:
    import keras
except ImportError:  # Keras itself, or the back-end it is set to
    keras = None

pytestmark = pytest.mark.skipif(keras is None, reason="no Keras with a back-end here")


def images(samples: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, 3, samples) ** 2 % 3)
    return (5 + rng.normal(size=(samples, 8, 8, 1)) + labels[:, None, None, None]).astype("float32"), labels


def network(head: str = "softmax"):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(
                4, 3, padding="same", activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1)
            ),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.4),
            layers.Dense(5),
            layers.ReLU(),
            layers.Dense(3, activation=head),
        ]
    )


class Trained:
    """A model that was trained by an arm."""

    def __init__(self, folder: Path, model=None, epochs: int = 2, **options) -> None:
        order = {name: options.pop(name) for name in ("weights", "seed", "steps") if name in options}
        fit = {name: options.pop(name) for name in ("callbacks", "batch_size") if name in options}
        rate = options.pop("rate", 0.01)
        fit["shuffle"] = "shuffle" not in options
        self.arm = Arm(Order(str(folder), options, **order))
        training = Training(self.arm, keras)
        self.model = model or network()
        training.compile(
            keras.Model.compile,
            self.model,
            keras.optimizers.SGD(rate, weight_decay=0.01),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            run_eagerly=True,
        )
        x, y = images()
        self.rates: list[float] = []
        seen = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda *_, **__: self.rates.append(float(self.model.optimizer.learning_rate))
        )
        callbacks = [*fit.pop("callbacks", ()), seen]
        held_out = (x[::2], y[::2])
        with contextlib.suppress(SystemExit):  # what cannot be tested is left at its first step
            self.history = training.fit(
                keras.Model.fit, self.model, x, y, epochs=epochs, verbose=0, validation_data=held_out,
                callbacks=callbacks, **{"batch_size": 16, **fit},
            )  # fmt: skip
        self.outcome = self.arm.outcome

    def layer(self, kind: str):
        return next(layer for layer in self.model.layers if type(layer).__name__ == kind)

    @property
    def kinds(self) -> list[str]:
        return [type(layer).__name__ for layer in self.model.layers]


CHANGES = {
    "learning_rate": (0.5, lambda t: t.rates[-1] == pytest.approx(0.5)),
    "learning_rate_scale": (0.1, lambda t: t.rates[-1] == pytest.approx(0.001)),
    "schedule": ("cosine", lambda t: t.rates[0] == pytest.approx(0.01) and t.rates[-1] < 1e-6),
    "optimizer": ("adam", lambda t: type(t.model.optimizer) is keras.optimizers.Adam),
    "clip_norm": (0.5, lambda t: t.model.optimizer.global_clipnorm == 0.5),
    "batch_size_scale": (2.0, lambda t: t.outcome.steps == 4),
    "weight_decay": (0.2, lambda t: t.model.optimizer.weight_decay == 0.2),
    "weight_decay_scale": (
        0.1,
        lambda t: (
            t.model.optimizer.weight_decay == pytest.approx(0.001)
            and t.layer("Conv2D").kernel_regularizer.l2 == pytest.approx(0.01)
        ),
    ),
    "dropout": (0.3, lambda t: t.layer("Dropout").rate == 0.3),
    "dropout_scale": (0.5, lambda t: t.layer("Dropout").rate == 0.2),
    "batch_normalization": (True, lambda t: t.kinds.count("BatchNormalization") == 2),
    "skip_connections": (True, lambda t: t.kinds.count("Add") == 2),
    "activation": (
        "elu",
        lambda t: t.layer("Conv2D").activation is keras.activations.elu and "ReLU" not in t.kinds,
    ),
    "initializer": ("he_normal", lambda t: "he_normal in 3 layers" in t.outcome.applied["initializer"]),
    "width_scale": (2.0, lambda t: [w.shape[-1] for w in t.model.trainable_variables[::2]] == [8, 10, 3]),
    "class_weights": ("balanced", lambda t: "classes weigh" in t.outcome.applied["class_weights"]),
    "label_smoothing": (0.1, lambda t: t.history.history["loss"][-1] != t.outcome.loss),
    "normalize_inputs": (True, lambda t: "Normalization" in t.kinds),
    "shuffle": (True, lambda t: "shuffle" in t.outcome.applied),
    "augmentation": (["flip", "shift", "zoom"], lambda t: "RandomTranslation" in t.kinds),
    "train_all_layers": (True, lambda t: t.layer("Conv2D").trainable),
    "early_stopping_patience": (0, lambda t: t.outcome.epochs <= 5),
}


TOGETHER = (  # knobs that do not stand in each other's way, so that few trainings show all
    "learning_rate clip_norm weight_decay dropout initializer label_smoothing train_all_layers shuffle",
    "learning_rate_scale optimizer batch_size_scale dropout_scale activation class_weights",
    "schedule weight_decay_scale batch_normalization skip_connections augmentation normalize_inputs",
    "width_scale",
    "early_stopping_patience",
)


@pytest.mark.parametrize("knobs", TOGETHER)
def test_knobs_that_are_said_to_be_turned_are_turned(knobs: str, tmp_path: Path) -> None:
    chosen = {knob: CHANGES[knob][0] for knob in knobs.split()}
    model = network()
    if "train_all_layers" in chosen:
        model.layers[0].trainable = False
    options = {"epochs": 5, "rate": 0.0} if "early_stopping_patience" in chosen else {}
    trained = Trained(tmp_path, model, **chosen, **options)
    assert trained.outcome.problems == ()
    assert trained.outcome.not_testable == {}
    assert trained.outcome.loss is not None
    assert trained.outcome.metrics["macro_recall"] >= 0
    for knob in chosen:
        assert trained.outcome.applied[knob]
        assert CHANGES[knob][1](trained), trained.outcome.applied[knob]


def test_every_knob_that_can_be_turned_is_tested_here() -> None:
    assert set(CHANGES) | {"backbone", "unfreeze_last"} == set(CAN)
    assert sorted(" ".join(TOGETHER).split()) == sorted(CHANGES)


@pytest.mark.parametrize("kind", ["step", "one_cycle", "warm_up", "on_plateau"])
def test_a_schedule_spans_the_steps_of_the_trial(kind: str, tmp_path: Path) -> None:
    trained = Trained(tmp_path, schedule=kind, epochs=4, rate=0.0 if kind == "on_plateau" else 0.01)
    assert trained.outcome.applied["schedule"]
    if kind == "step":
        assert trained.rates[-1] == pytest.approx(1e-4)
    elif kind == "warm_up":
        assert trained.rates[0] < trained.rates[-1] == pytest.approx(0.01)
    elif kind != "on_plateau":
        assert max(trained.rates) > 0.02 > 0.002 > trained.rates[-1]


def test_a_scheduler_of_the_script_is_scaled_and_its_function_sees_its_own_rate(tmp_path: Path) -> None:
    seen: list[float] = []

    def halve(epoch: int, rate: float) -> float:
        seen.append(rate)
        return rate / 2 if epoch else rate

    own = keras.callbacks.LearningRateScheduler(halve)
    trained = Trained(tmp_path, learning_rate_scale=0.1, callbacks=[own])
    assert seen == pytest.approx([0.01, 0.01])
    assert trained.rates[-1] == pytest.approx(0.0005)


def test_the_cap_of_steps_holds_within_an_epoch(tmp_path: Path) -> None:
    arm = Arm(Order(str(tmp_path), {}, steps=4))
    training = Training(arm, keras)
    model = network()
    training.compile(keras.Model.compile, model, "sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = images()
    with pytest.raises(SystemExit):
        training.fit(keras.Model.fit, model, x, y, batch_size=16, epochs=9, validation_split=0.25, verbose=0)
    assert (arm.outcome.steps, arm.outcome.ended) == (4, "cap")
    assert "12 samples" in arm.outcome.scored_on


def test_a_score_is_that_of_the_original_loss_without_penalties(tmp_path: Path) -> None:
    plain = Trained(tmp_path, rate=0.0)
    smoothed = Trained(tmp_path, rate=0.0, label_smoothing=0.4)
    assert smoothed.outcome.loss == pytest.approx(plain.outcome.loss)
    assert plain.history.history["val_loss"][-1] > plain.outcome.loss + 0.01  # Keras adds the penalty


def test_without_weights_a_backbone_is_not_testable_and_says_why(tmp_path: Path) -> None:
    trained = Trained(tmp_path, backbone="MobileNetV3Small", unfreeze_last=2)
    assert "no file of pretrained weights" in trained.outcome.not_testable["backbone"]
    assert (trained.outcome.ended, trained.outcome.steps) == ("not testable", 0)


def test_a_saved_model_becomes_a_backbone_that_is_frozen_and_then_freed(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(6, 3, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(6, 3, activation="relu", name="second")(x)
    outputs = keras.layers.Dense(4, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    pretrained = keras.Model(inputs, outputs, name="small")
    pretrained.save(tmp_path / "small.keras")
    before = {layer.name: layer.get_weights() for layer in pretrained.layers}
    trained = Trained(
        tmp_path, backbone="small", unfreeze_last=1, weights=str(tmp_path / "small.keras"), epochs=4, rate=0.5
    )
    assert trained.outcome.problems == ()
    assert trained.outcome.epochs == 4
    assert len(trained.history.history["loss"]) == 4
    backbone = next(layer for layer in trained.model.layers if layer.name == "small")
    same = {name: all(map(np.array_equal, backbone.get_layer(name).get_weights(), old)) for name, old in
            ((name, before[name]) for name in ("first", "second"))}  # fmt: skip
    assert same == {"first": True, "second": False}
    assert trained.rates[-1] == pytest.approx(0.05)


def test_a_subclassed_model_says_which_knobs_it_cannot_turn(tmp_path: Path) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")

        def call(self, inputs):
            return self.dense(self.flat(inputs))

    trained = Trained(tmp_path, Own(), width_scale=2.0, learning_rate_scale=2.0)
    assert "class of its own" in trained.outcome.not_testable["width_scale"]
    assert trained.outcome.applied["learning_rate_scale"] == "0.01 -> 0.02"


def test_recurrent_layers_are_widened_and_what_follows_takes_their_width(tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Reshape((8, 8)),
            layers.GRU(3, return_sequences=True),
            layers.LSTM(2),
            layers.Dense(3, activation="softmax"),
        ]
    )
    trained = Trained(tmp_path, model, width_scale=2.0)
    assert trained.outcome.problems == ()
    assert trained.outcome.applied["width_scale"] == "x2 in 2 hidden layers"
    assert [layer.units for layer in trained.model.layers if hasattr(layer, "units")] == [6, 4, 3]
