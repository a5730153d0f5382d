"""The Keras recorder on tiny trainings; needs a Keras with a back-end that can train."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from plateau_doctor.recorders.events import ZERO_EDGE
from plateau_doctor.recorders.held_out import class_scores, classes_in
from plateau_doctor.recorders.keras import Recorder
from plateau_doctor.recorders.tape import place

from .test_events import events_in

try:
    import keras
except ImportError:  # Keras itself, or the back-end it is set to
    keras = None

needs_keras = pytest.mark.skipif(keras is None, reason="no Keras with a back-end here")


def model_of(learning_rate: float = 0.1, bias: float = 0.0):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    initial = keras.initializers.Constant(bias)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="relu", bias_initializer=initial),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(3, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.01)),
        ]
    )
    model.compile(
        keras.optimizers.SGD(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def data_of(samples: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, samples)
    return (rng.normal(size=(samples, 4)) + labels[:, None]).astype("float32"), labels


def fit(model, logdir: Path, epochs: int = 2, **options):
    x, y = data_of()
    recorder = Recorder(logdir, **{"every": 4, "validation_data": (x, y), "labels": y, **options})
    return model.fit(
        x, y, batch_size=8, epochs=epochs, validation_data=(x, y), verbose=0, callbacks=[recorder]
    )


def values_in(logdir: Path) -> dict[str, dict[int, object]]:
    found: dict[str, dict[int, object]] = {}
    for file in sorted(logdir.glob("events.out.tfevents.*")):
        for event in events_in(file):
            note(event, found)
    return found


def note(event: Event, found: dict[str, dict[int, object]]) -> None:
    for value in event.summary.value:
        kept = value.histo if value.HasField("histo") else value.simple_value
        found.setdefault(value.tag, {})[event.step] = value.metadata if value.HasField("metadata") else kept


@needs_keras
def test_epochs_are_written_at_the_training_step_under_two_sides(tmp_path: Path) -> None:
    history = fit(model_of(), tmp_path).history
    found = values_in(tmp_path)
    for tag, key in (
        ("train/loss", "loss"),
        ("validation/loss", "val_loss"),
        ("validation/accuracy", "val_accuracy"),
    ):
        assert list(found[tag]) == [6, 12]
        assert list(found[tag].values()) == pytest.approx(history[key], rel=1e-6)
    assert found["epoch"] == {6: 1.0, 12: 2.0}
    assert list(found["learning_rate"].values()) == pytest.approx([0.1, 0.1])


@needs_keras
def test_the_batch_loss_is_no_running_mean(tmp_path: Path) -> None:
    model = model_of(learning_rate=0.0)
    x, y = data_of(20)  # batches of 8, 8 and 4
    model.layers[1].rate = 0.0
    recorder = Recorder(tmp_path)
    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[recorder])
    expected = [model.evaluate(x[a:b], y[a:b], verbose=0)[0] for a, b in ((0, 8), (8, 16), (16, 20))]
    assert list(values_in(tmp_path)["train/loss_step"].values()) == pytest.approx(expected, rel=1e-4)


@needs_keras
def test_the_update_of_plain_sgd_is_the_rate_times_the_gradient(tmp_path: Path) -> None:
    fit(model_of(learning_rate=0.1), tmp_path, every=1)
    found = values_in(tmp_path)
    for layer in ("00_dense/kernel", "01_dense_1/kernel"):
        gradients, weights = found[f"gradient_norm/{layer}"], found[f"weight_norm/{layer}"]
        for step in range(2, 13):
            ratio = 0.1 * gradients[step] / weights[step - 1]
            assert found[f"update_ratio/{layer}"][step] == pytest.approx(ratio, rel=1e-3)


@needs_keras
def test_histograms_are_written_in_forward_order_for_kernels_alone(tmp_path: Path) -> None:
    fit(model_of(), tmp_path)
    tags = [tag for tag in values_in(tmp_path) if tag.startswith(("gradients/", "weights/", "activations/"))]
    assert sorted(tags) == [
        "activations/00_dense",
        "gradients/00_dense/kernel",
        "gradients/01_dense_1/kernel",
        "weights/00_dense/kernel",
        "weights/01_dense_1/kernel",
    ]


@needs_keras
def test_dead_units_show_as_exact_zeros(tmp_path: Path) -> None:
    fit(model_of(bias=-100.0), tmp_path)
    found = values_in(tmp_path)
    for tag in ("gradients/00_dense/kernel", "activations/00_dense"):
        for buckets in found[tag].values():
            zeros = sum(
                n for limit, n in zip(buckets.bucket_limit, buckets.bucket, strict=True) if limit == ZERO_EDGE
            )
            assert zeros == buckets.num > 0


@needs_keras
def test_settings_tell_how_it_was_trained(tmp_path: Path) -> None:
    fit(model_of(), tmp_path)
    content = values_in(tmp_path)["_hparams_/session_start_info"][0].plugin_data.content
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    numbers = {name: value.number_value for name, value in found.items()}
    assert found["optimizer"].string_value == "sgd"
    assert found["framework"].string_value.startswith("keras ")
    assert numbers["learning_rate"] == 0.1
    assert numbers["batch_size"] == 8
    assert numbers["steps_per_epoch"] == 6
    assert numbers["samples"] == 48
    assert numbers["classes"] == 3
    assert numbers["dropout"] == 0.25
    assert numbers["l2"] == pytest.approx(0.01)
    assert numbers["parameters"] == 4 * 6 + 6 + 6 * 3 + 3


@needs_keras
def test_recording_changes_nothing_in_the_training(tmp_path: Path) -> None:
    with_recorder, without = model_of(), model_of()
    keras.utils.set_random_seed(1)
    recorded = fit(with_recorder, tmp_path).history
    x, y = data_of()
    keras.utils.set_random_seed(1)
    bare = without.fit(x, y, batch_size=8, epochs=2, validation_data=(x, y), verbose=0).history
    assert recorded["val_loss"] == pytest.approx(bare["val_loss"], rel=1e-6)
    assert "apply" not in vars(with_recorder.optimizer)
    assert len(with_recorder.optimizer.variables) == len(without.optimizer.variables)


@needs_keras
def test_a_second_fit_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    model = model_of()
    fit(model, tmp_path / "first")
    fit(model, tmp_path / "second")
    found = values_in(tmp_path / "second")
    assert list(found["train/loss"]) == [18, 24]
    assert any(value > 0 for value in found["gradient_norm"].values())


@needs_keras
def test_an_unwritable_folder_warns_once_and_lets_the_training_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, logger="plateau_doctor"):
        history = fit(model_of(), tmp_path / "file").history
    assert len(history["loss"]) == 2
    assert [
        r.getMessage().count("recording ends here") for r in caplog.records if r.name == "plateau_doctor"
    ] == [1]


@needs_keras
def test_a_disk_that_fills_up_ends_the_recording_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("plateau_doctor.recorders.events.EventWriter.write", full)
    with caplog.at_level(logging.WARNING, logger="plateau_doctor"):
        history = fit(model_of(), tmp_path).history
    assert len(history["loss"]) == 2
    assert "No space left" in caplog.text


@needs_keras
def test_unusable_validation_data_costs_only_what_it_was_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="plateau_doctor"):
        fit(model_of(), tmp_path, validation_data=7)
    assert caplog.text.count("not recorded, the rest is") == 1
    assert {"train/loss", "gradients/00_dense/kernel"} <= set(values_in(tmp_path))


@needs_keras
def test_validation_data_may_come_in_batches(tmp_path: Path) -> None:
    x, y = data_of()
    fit(model_of(), tmp_path, validation_data=[(x[:20], y[:20]), (x[20:], y[20:])])
    found = values_in(tmp_path)
    recalls = [found[f"validation/recall/{c}"][12] for c in range(3)]
    assert found["validation/balanced_accuracy"][12] == pytest.approx(np.mean(recalls), rel=1e-6)
    shares = [np.mean(y == c) for c in range(3)]
    total = float(np.dot(recalls, shares))
    assert total == pytest.approx(found["validation/accuracy"][12], rel=1e-5)


@needs_keras
def test_a_subclassed_model_is_recorded_without_activations(tmp_path: Path) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)

        def call(self, x):
            return self.out(self.hidden(x))

    model = Own()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, tmp_path)
    tags = values_in(tmp_path)
    assert len([tag for tag in tags if tag.startswith("gradients/")]) == 2
    assert not [tag for tag in tags if tag.startswith("activations/")]


def test_importing_the_recorder_imports_no_keras() -> None:
    import subprocess

    code = "import plateau_doctor.recorders.keras, sys; print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_labels_are_classes_only_where_they_are_whole() -> None:
    assert classes_in(np.eye(3)[[2, 0]]).tolist() == [2, 0]
    assert classes_in(np.array([[1.0], [0.0]])).tolist() == [1, 0]
    assert classes_in(np.array([0.5, 1.0])) is None
    assert classes_in(np.array([[0.2, 0.8]])) is None


def test_recall_of_a_class_counts_that_class_alone() -> None:
    scores = class_scores(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    assert scores == {
        "validation/recall/0": 1.0,
        "validation/recall/1": 0.0,
        "validation/balanced_accuracy": 0.5,
        "validation/majority_share": 0.75,
    }


def test_places_sort_as_numbers() -> None:
    assert place(3, 12, "conv2d") == "03_conv2d"
    assert sorted(place(i, 120, "x") for i in range(120))[10] == "010_x"
