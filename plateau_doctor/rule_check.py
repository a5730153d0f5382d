"""Tests a folder of rule files by what they say of themselves: their letters, and the examples inside.

An example that fires must rank its cause first among all rules, a silent one must not name it; each sign is to be
seen in one example and measured absent in another. That is what the rules that ship with the package are held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plateau_doctor.curve import example_run
from plateau_doctor.diagnosis import WORDS_ALONE, diagnose, named
from plateau_doctor.examination import load_fixes, load_rules
from plateau_doctor.facts import Facts, known_facts
from plateau_doctor.facts.siblings import find_siblings
from plateau_doctor.letters import PlateauDoctorError, RuleError
from plateau_doctor.rule import Example, Rule, load_file

__all__ = ["check_rules"]


def check_rules(folder: Path) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Return the rules of a folder that could be read, and a letter for each mistake in any of its files."""
    rules, letters = [], list[str]()
    for file in sorted(folder.glob("*.toml")):
        try:
            rules.append(load_file(file, known_facts(), load_fixes()))
        except RuleError as error:
            letters.append(str(error))
    shipped = {
        rule.cause: rule for rule in load_rules() if Path(rule.source).resolve().parent != folder.resolve()
    }
    for rule in rules:
        if rule.cause in shipped:
            letters.append(
                str(RuleError(f"the cause {rule.cause!r} ships with plateau-doctor", Path(rule.source)))
            )
    every = [*rules, *(rule for cause, rule in shipped.items() if cause not in {r.cause for r in rules})]
    made = {rule.cause: _made(rule) for rule in every}
    seen = [facts for pairs, _ in made.values() for _, facts in pairs]
    for rule in rules:
        pairs, said = made[rule.cause]
        said = [*said, *_judged(rule, pairs, every), *_signs(rule, [facts for _, facts in pairs], seen)]
        letters += [str(RuleError(one, Path(rule.source))) for one in said]
    return tuple(rules), tuple(letters)


def _made(rule: Rule) -> tuple[list[tuple[Example, Facts]], list[str]]:
    """Return the examples of a rule with their facts, and what is said of those that make no run."""
    pairs, said = [], list[str]()
    for example in rule.examples:
        members = (example, *example.siblings)
        try:
            runs = [example_run(f"{rule.cause}/{one.name}", one.series, one.settings) for one in members]
            pairs.append((example, Facts(runs[0], find_siblings(runs).get(0))))
        except (PlateauDoctorError, ValueError) as error:
            said.append(f"the example {example.name!r} makes no run: {error}")
    return pairs, said


def _judged(rule: Rule, pairs: Sequence[tuple[Example, Facts]], every: Sequence[Rule]) -> list[str]:
    said = []
    if {example.fires for example in rule.examples} != {True, False}:
        said.append("a rule needs at least one [[fires]] and one [[silent]]")
    for example, facts in pairs:
        ranked = [one.cause for one in named(diagnose(facts, every, WORDS_ALONE))]
        if example.fires and ranked[:1] != [rule.cause]:
            instead = f"{ranked[0]} comes first" if ranked else "no cause is named"
            said.append(f"the example {example.name!r} is to fire {rule.cause}, but {instead}")
        if not example.fires and rule.cause in ranked:
            said.append(f"the example {example.name!r} is to be silent, but {rule.cause} is named")
    return said


def _signs(rule: Rule, own: Sequence[Facts], every: Sequence[Facts]) -> list[str]:
    """Look for each sign in the rule's own examples, and where it is not in them, in those of all rules."""
    said = []
    for sign in rule.signs:
        answers = {sign.condition.evaluate(facts) for facts in own}
        if not {True, False} <= answers:
            answers |= {sign.condition.evaluate(facts) for facts in every}
        if True not in answers:
            said.append(f"no example shows the sign {sign.condition.text!r}")
        if False not in answers:
            said.append(f"no example measures the sign {sign.condition.text!r} and finds it absent")
    return said
