"""The table of what can be turned where."""

from dataclasses import fields

from plateau_doctor.fix import Change
from plateau_doctor.trials.knobs import FRAMEWORKS, table


def test_every_knob_of_a_change_can_be_turned_in_each_framework_or_says_why_not() -> None:
    rows = list(table())
    assert {(row.name, row.framework) for row in rows} == {
        (f.name, w) for f in fields(Change) for w in FRAMEWORKS
    }
    assert all(row.where for row in rows)
    for wrap in FRAMEWORKS.values():
        assert not set(wrap.CAN) & set(wrap.CANNOT)


def test_keras_turns_all_and_torch_all_but_what_the_code_of_the_model_decides() -> None:
    cannot = {(row.framework, row.name) for row in table() if not row.can}
    assert cannot == {("torch", name) for name in ("skip_connections", "backbone", "unfreeze_last")}
