"""The journal: what ended is never trained again, and what cannot be written is a letter."""

import contextlib
import json
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest

from plateau_doctor.fix import Change
from plateau_doctor.letters import UsageError
from plateau_doctor.trials.journal import JOURNAL, opened
from plateau_doctor.trials.trial import Arm, Trial

ARMS = [Arm(None, Change(), 0), Arm("lower_lr", Change(learning_rate_scale=0.1), 0)]


class Trainer:
    """Trains nothing and remembers what it was asked for; dies after so many arms."""

    def __init__(self, outcome: str = "trained", dies_after: int = 99) -> None:
        self.asked: list[str] = []
        self.outcome, self.dies_after = outcome, dies_after

    def __call__(self, arms: Sequence[Arm]) -> Generator[Trial, None, None]:
        for arm in arms:
            if len(self.asked) == self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(arm.name)
            yield Trial(arm.fix, arm.seed, self.outcome, loss=0.5, metrics={"accuracy": 0.8})  # type: ignore[arg-type]


def name_of(arm: Arm) -> str:
    return arm.name


def test_an_arm_that_ended_is_not_trained_again(tmp_path: Path) -> None:
    first, second = Trainer(), Trainer()
    with opened(tmp_path) as journal:
        before = list(journal.resumed(first, name_of)(ARMS))
    with opened(tmp_path) as journal:
        after = list(journal.resumed(second, name_of)(ARMS))
    assert (first.asked, second.asked) == (["control/seed-0", "lower_lr/seed-0"], [])
    assert [(one.name, one.loss, one.metrics) for one in after] == [
        (one.name, one.loss, one.metrics) for one in before
    ]


def test_a_verification_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    killed, resumed = Trainer(dies_after=1), Trainer()
    with opened(tmp_path) as journal, pytest.raises(KeyboardInterrupt):
        list(journal.resumed(killed, name_of)(ARMS))
    with opened(tmp_path) as journal:
        assert len(list(journal.resumed(resumed, name_of)(ARMS))) == 2
    assert resumed.asked == ["lower_lr/seed-0"]


def test_an_arm_with_another_budget_or_command_is_trained_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        list(journal.resumed(Trainer(), name_of)(ARMS))
    again = Trainer()
    with opened(tmp_path) as journal:
        list(journal.resumed(again, lambda arm: "other" if arm.fix else arm.name)(ARMS))
    assert again.asked == ["lower_lr/seed-0"]


def test_an_interrupted_arm_leaves_no_line(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        list(journal.resumed(Trainer("stopped"), name_of)(ARMS))
    assert (tmp_path / JOURNAL).read_text() == ""


def test_a_line_that_was_cut_is_passed_over_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text('{"arm": "control/seed-0", "key": "control/se')
    again = Trainer()
    with opened(tmp_path) as journal:
        list(journal.resumed(again, name_of)(ARMS))
    assert again.asked == ["control/seed-0", "lower_lr/seed-0"]
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    assert [json.loads(line)["arm"] for line in lines[1:]] == again.asked


def test_the_folder_says_what_it_is(tmp_path: Path) -> None:
    with opened(tmp_path / "trials"):
        assert "plateau-doctor verify" in (tmp_path / "trials" / "README.txt").read_text()


def test_two_verifications_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        opened(tmp_path),
        pytest.raises(UsageError, match="another verification is at work"),
        opened(tmp_path),
    ):
        pass
    with opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_a_letter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written: "):
        opened(tmp_path / "file" / "trials")


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Act as a user without rights, where root, who may write anywhere, runs the tests."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder_is_a_letter(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with nobody(), pytest.raises(UsageError, match="Permission denied"):
        opened(tmp_path / "trials")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_letter(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).symlink_to("/dev/full")
    with opened(tmp_path) as journal, pytest.raises(UsageError, match="No space left on device"):
        journal.write({"arm": "control/seed-0"})
