"""Every rule file, tested the moment it exists: its examples against all rules, its fixes, its relatives."""

from collections.abc import Iterator
from functools import cache

import pytest

from plateau_doctor.curve import example_run
from plateau_doctor.diagnosis import WORDS_ALONE, diagnose, named
from plateau_doctor.examination import load_fixes, load_rules
from plateau_doctor.facts import Facts
from plateau_doctor.facts.siblings import find_siblings
from plateau_doctor.rule import Example, Rule

RULES = load_rules()
CAUSES = {rule.cause for rule in RULES}
EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]
SIGNS = [(rule, sign) for rule in RULES for sign in rule.signs]
FAMILIES = {"learning_rate", "gradients", "data", "architecture", "regularization", "training_loop"}


@cache
def facts_of(cause: str, name: str) -> Facts:
    rule, example = next((r, e) for r, e in EXAMPLES if (r.cause, e.name) == (cause, name))
    members = (example, *example.siblings)
    runs = [example_run(f"{rule.cause}/{one.name}", one.series, one.settings) for one in members]
    siblings = find_siblings(runs)
    assert len(siblings) == (len(runs) if example.siblings else 0), "an example's runs beside it are siblings"
    return Facts(runs[0], siblings.get(0))


def all_facts() -> Iterator[Facts]:
    return (facts_of(rule.cause, example.name) for rule, example in EXAMPLES)


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=[f"{r.cause}: {e.name}" for r, e in EXAMPLES])
def test_by_words_alone_an_example_that_fires_names_its_cause_first_and_a_silent_one_does_not(
    rule: Rule, example: Example
) -> None:
    ranked = named(diagnose(facts_of(rule.cause, example.name), RULES, WORDS_ALONE))
    if example.fires:
        assert [d.cause for d in ranked][:1] == [rule.cause]
    else:
        assert rule.cause not in [d.cause for d in ranked]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.cause)
def test_a_rule_has_examples_of_both_kinds_and_known_relatives(rule: Rule) -> None:
    assert {example.fires for example in rule.examples} == {True, False}
    assert rule.family in FAMILIES
    assert rule.fixes
    assert set(rule.fixes) <= set(load_fixes())
    assert rule.references
    assert rule.cause not in rule.confused_with


@pytest.mark.parametrize(
    ("rule", "sign"), SIGNS, ids=[f"{r.cause} {s.side} {s.condition.text}" for r, s in SIGNS]
)
def test_a_sign_is_seen_in_one_example_and_measured_absent_in_another(rule: Rule, sign: object) -> None:
    del rule
    answers = {sign.condition.evaluate(facts) for facts in all_facts()}  # type: ignore[attr-defined]
    assert True in answers, "no example shows this sign"
    assert False in answers, "no example measures this sign and finds it absent"


@pytest.mark.parametrize(
    ("rule", "example"), [(r, e) for r, e in EXAMPLES if e.fires], ids=lambda v: str(v)[:40]
)
def test_the_sentence_of_a_sign_that_is_seen_has_its_numbers(rule: Rule, example: Example) -> None:
    first = diagnose(facts_of(rule.cause, example.name), RULES, WORDS_ALONE)[0]
    for evidence in first.evidence:
        if evidence.seen and evidence.side == "for" and " or " not in str(evidence.facts):
            known = [v for v in evidence.facts.values() if v is not None]
            assert known
            assert "{" not in evidence.says
