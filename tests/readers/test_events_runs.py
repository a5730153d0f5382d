from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from making_events import (
    SCALARS,
    curve,
    hparams,
    of_tensor,
    one_run,
    read,
    record,
    scalar,
    values,
    write,
)
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.util.tensor_util import make_tensor_proto

from plateau_doctor.readers import events
from plateau_doctor.run import SCALAR_COLUMNS, Run

EVENTS = "events.out.tfevents.1"


# files that are no run


def test_a_git_lfs_pointer_is_named_with_its_remedy(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    (tmp_path / EVENTS).write_bytes(pointer)
    runs, problems = read(tmp_path)
    assert not runs
    assert "git lfs pull" in problems[0].why


def test_a_compressed_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / EVENTS, curve("loss", range(3)))
    (tmp_path / EVENTS).write_bytes(gzip.compress((tmp_path / EVENTS).read_bytes()))
    assert "compressed" in read(tmp_path)[1][0].why


@pytest.mark.parametrize("folder", ["catboost_info/learn", "boost/test", "catboost_info"])
def test_a_catboost_log_is_no_neural_network(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder / "events.out.tfevents", curve("RMSE", range(9)), version=None)
    runs, problems = read(tmp_path)
    assert not runs
    assert problems[0].why == "a CatBoost log, not a neural network"


def test_a_bare_name_with_a_file_version_is_read(tmp_path: Path) -> None:
    write(tmp_path / "learn" / "events.out.tfevents", curve("loss", range(9)))
    assert len(one_run(tmp_path).scalars) == 9


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (record(Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString()), "only its header"),
        (record(Event(wall_time=1.0, graph_def=b"g").SerializeToString()), "only 1 x graph"),
    ],
)
def test_a_file_without_scalars_is_a_problem_and_no_run(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / EVENTS).write_bytes(content)
    runs, problems = read(tmp_path)
    assert not runs
    assert [p.what for p in problems] == ["holds no scalars"]
    assert problems[0].why.startswith(why)


def test_an_empty_file_beside_another_is_no_problem(tmp_path: Path) -> None:
    write(tmp_path / EVENTS, curve("loss", range(9)))
    write(tmp_path / "events.out.tfevents.2.profile-empty", [])
    (tmp_path / "events.out.tfevents.3").write_bytes(b"")
    assert one_run(tmp_path).problems == ()


def test_a_missing_or_unreadable_path_is_named(tmp_path: Path) -> None:
    (found,) = events.read([tmp_path / "events.out.tfevents.gone"], tmp_path)
    assert not isinstance(found, Run)
    assert "No such file" in found.why


def test_text_in_a_file_of_that_name_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / EVENTS).write_bytes(b"epoch,loss\n1,0.5\n" * 40)
    runs, problems = read(tmp_path)
    assert not runs
    assert problems[0].offset == 0


# recognition


def test_event_files_are_known_by_name_or_by_content(tmp_path: Path) -> None:
    data = write(tmp_path / "log", curve("loss", range(3))).read_bytes()
    assert events.sniff(Path("anything"), data)
    assert events.sniff(Path("events.out.tfevents.9"), b"")
    assert not events.sniff(Path("train.csv"), b"epoch,loss\n1,2\n")
    assert not events.sniff(Path("run_tfevents.csv"), b"step,value\n1,2\n")
    assert not events.sniff(Path("images.tfrecord"), record(b"\x0a\x05abcde"))
    assert not events.sniff(Path("empty"), b"")


# which folders are one run


def test_keras_train_and_validation_are_one_run_with_the_folder_before_the_tag(tmp_path: Path) -> None:
    for side in ("train", "validation"):
        held = [of_tensor("epoch_loss", make_tensor_proto(np.float32(i)), SCALARS, step=i) for i in range(5)]
        write(tmp_path / "run7" / side / EVENTS, held)
    extra = of_tensor("evaluation_loss_vs_iterations", make_tensor_proto(np.float32(1)), SCALARS, step=900)
    write(tmp_path / "run7" / "validation" / "events.out.tfevents.2", [extra])
    run = one_run(tmp_path)
    assert (run.name, run.source, run.format) == ("run7", str(tmp_path / "run7"), "tensorboard")
    assert set(run.scalars["tag"]) == {
        "train/epoch_loss",
        "validation/epoch_loss",
        "validation/evaluation_loss_vs_iterations",
    }
    by_epoch = run.scalars[run.scalars["tag"].str.endswith("epoch_loss")]
    assert (by_epoch["epoch"] == by_epoch["step"]).all()
    assert run.scalars["epoch"].isna().sum() == 1


def test_an_estimators_eval_folder_belongs_to_the_training_above_it(tmp_path: Path) -> None:
    write(tmp_path / EVENTS, curve("loss", range(9)))
    write(tmp_path / "eval" / EVENTS, curve("loss", range(3)))
    run = one_run(tmp_path)
    assert run.name == tmp_path.name
    assert (len(values(run, "loss")), len(values(run, "eval/loss"))) == (9, 3)


def test_a_lone_validation_folder_keeps_its_side_and_a_lone_train_folder_its_tags(tmp_path: Path) -> None:
    write(tmp_path / "a" / "validation" / EVENTS, curve("epoch_loss", range(3)))
    write(tmp_path / "b" / "train" / EVENTS, curve("metrics/mAP50(B)", range(3)))
    runs, _ = read(tmp_path)
    assert {run.name: set(run.scalars["tag"]) for run in runs} == {
        "a/validation": {"validation/epoch_loss"},
        "b/train": {"metrics/mAP50(B)"},
    }


def test_sibling_runs_stay_apart(tmp_path: Path) -> None:
    for name in ("version_0", "version_1", "version_1/deeper"):
        write(tmp_path / name / EVENTS, [*curve("loss", range(3)), *curve("val_loss", range(3))])
    assert [run.name for run in read(tmp_path)[0]] == ["version_0", "version_1", "version_1/deeper"]


@pytest.mark.parametrize("tag", ["loss", "data/my loss"])
def test_add_scalars_folders_join_the_run_above(tmp_path: Path, tag: str) -> None:
    write(tmp_path / "run" / EVENTS, curve("lr", range(4)))
    for name in ("train", "val"):
        write(tmp_path / "run" / f"{tag.replace('/', '_')}_{name}" / EVENTS, curve(tag, range(4)))
    run = one_run(tmp_path)
    assert set(run.scalars["tag"]) == {"lr", f"{tag}/train", f"{tag}/val"}


def test_the_clock_named_folder_of_add_hparams_gives_the_run_its_settings(tmp_path: Path) -> None:
    write(tmp_path / "run" / EVENTS, curve("loss", range(4)))
    session = [hparams({"lr": 0.1}), scalar("hparam/accuracy", 0, 0.5)]
    write(tmp_path / "run" / "1672427575.7801445" / EVENTS, session)
    run = one_run(tmp_path)
    assert run.settings == {"lr": 0.1}
    assert run.name == "run"
    assert values(run, "hparam/accuracy") == [0.5]


def test_a_folder_of_settings_alone_belongs_to_the_run_above_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path / "run" / EVENTS, curve("loss", range(4)))
    write(tmp_path / "run" / "hparams" / EVENTS, [hparams({"lr": 0.1})])
    run = one_run(tmp_path)
    assert run.settings == {"lr": 0.1}


def test_sessions_that_differ_are_named_and_only_what_they_share_is_kept(tmp_path: Path) -> None:
    write(tmp_path / EVENTS, curve("loss", range(4)))
    for i in range(2):
        write(tmp_path / f"167242757{i}.5" / EVENTS, [hparams({"lr": 0.1 * i, "depth": 3.0})])
    run = one_run(tmp_path)
    assert run.settings == {"depth": 3.0}
    assert "lr" in run.problems[0].why


def test_the_root_may_be_the_runs_folder_or_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "run9" / EVENTS, curve("loss", range(4)))
    for root in (tmp_path / "run9", path):
        (run,) = events.read([path], root)
        assert isinstance(run, Run)
        assert run.name == "run9"


def test_lightnings_placeholder_is_left_out_and_a_real_hp_metric_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "a" / EVENTS, [scalar("hp_metric", 0, -1.0), *curve("loss", range(3))])
    write(
        tmp_path / "b" / EVENTS,
        [scalar("hp_metric", 0, -1.0), scalar("hp_metric", 1, 0.5), *curve("loss", range(3))],
    )
    first, second = read(tmp_path)[0]
    assert set(first.scalars["tag"]) == {"loss"}
    assert "hp_metric" in first.reasons
    assert values(second, "hp_metric") == [-1.0, 0.5]


def test_the_frame_has_the_columns_and_types_of_a_run(tmp_path: Path) -> None:
    write(tmp_path / EVENTS, curve("loss", range(3)))
    frame = one_run(tmp_path).scalars
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == SCALAR_COLUMNS
    assert (frame["role"] == "train_loss").all()


# epochs


def test_the_logged_epoch_is_spread_over_all_rows_by_step(tmp_path: Path) -> None:
    held = [*curve("train_loss", range(0, 40, 2)), *curve("val_loss", [9, 19, 29]), *curve("epoch", [])]
    held += [scalar("epoch", step, i) for i, step in enumerate([9, 19, 29])]
    write(tmp_path / EVENTS, held)
    rows = one_run(tmp_path).scalars
    epochs = rows[rows["tag"] == "train_loss"].set_index("step")["epoch"]
    assert [epochs[s] for s in (0, 8, 10, 18, 20, 28, 38)] == [0, 0, 1, 1, 2, 2, 2]
    assert list(rows[rows["tag"] == "val_loss"]["epoch"]) == [0, 1, 2]


def test_one_run_may_have_hundreds_of_tags(tmp_path: Path) -> None:
    values_of = [Summary.Value(tag=f"t{i}", simple_value=i) for i in range(700)]
    write(
        tmp_path / EVENTS,
        [Event(wall_time=1.0 + s, step=s, summary=Summary(value=values_of)) for s in range(3)],
    )
    assert one_run(tmp_path).scalars["tag"].nunique() == 700
