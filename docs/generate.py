"""Write the generated pages of docs/ and the tables of README.md: `python docs/generate.py`.

Causes and fixes come from the rule files, facts and formats from the code; a test fails when a page is stale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from plateau_doctor.cli import cli
from plateau_doctor.condition import unfilled
from plateau_doctor.examination import load_fixes, load_rules
from plateau_doctor.facts import known_facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.fix import Fix
from plateau_doctor.readers import formats
from plateau_doctor.report.explain import logs_of
from plateau_doctor.report.text import FRAMEWORKS
from plateau_doctor.rule import Rule, Sign

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def pages() -> dict[Path, str]:
    """Return every generated file's path and text."""
    rules, fixes = load_rules(), load_fixes()
    return {
        HERE / "causes.md": causes(rules),
        **{HERE / "causes" / f"{rule.cause}.md": cause(rule, fixes) for rule in rules},
        HERE / "evidence.md": evidence(),
        HERE / "facts.md": facts(),
        HERE / "fixes.md": all_fixes(fixes),
        **{HERE / "fixes" / f"{fix.id}.md": one_fix(fix, rules) for fix in fixes.values()},
        README: readme(README.read_text(encoding="utf-8")),
    }


def readme(text: str) -> str:
    """Return the README with its marked tables written anew."""
    tables = {
        "commands": command_table(),
        "causes": cause_table(),
        "formats": format_table(),
        "accuracy": accuracy_table(),
        "replayed": replayed_table(),
        "verified": verified_table(),
    }
    for name, table in tables.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)",
            lambda m, table=table: m[1] + table + m[2],  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    return text


def accuracy_table() -> str:
    """Return the measures of the newest kept run of benchmarks/accuracy.py, as it printed them."""
    lines = newest("accuracy").split("\n\n")[0].splitlines()
    return "\n".join(["```", *lines, "```", ""])


def replayed_table() -> str:
    """Return the counts of the newest kept run of benchmarks/trials.py, as it printed them."""
    return "\n".join(["```", *(line.rstrip() for line in newest("trials").splitlines()), "```", ""])


def verified_table() -> str:
    """Return the counts of the newest kept run of benchmarks/verified.py, as it printed them."""
    lines = newest("verified").split("\n\n")[1].splitlines()
    return "\n".join(["```", *(line.rstrip() for line in lines), "```", ""])


def newest(benchmark: str) -> str:
    """Return the newest kept figures of a benchmark, as it printed them."""
    kept = sorted((HERE.parent / "benchmarks" / "results").glob(f"*-{benchmark}.txt"))
    return kept[-1].read_text(encoding="utf-8")


def evidence() -> str:
    head = [
        "# What carries each cause",
        "",
        "As `python benchmarks/ablation.py` printed it for rich logs: the facts with the largest mean share of the",
        "log-odds in logs that have the cause, and the kinds of log that tell most about it, in bits a run.",
        "",
    ]
    return "\n".join([*head, "```", newest("ablation").rstrip(), "```", ""])


def command_table() -> str:
    shown = [(name, one) for name, one in sorted(cli.commands.items()) if not one.hidden]
    rows = [f"| `{name}` | {one.get_short_help_str(300).rstrip('.')} |" for name, one in shown]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows, ""])


def cause_table() -> str:
    rows = [f"| `{r.cause}` | {r.family.replace('_', ' ')} | {r.severity} | {r.says} |" for r in load_rules()]
    return "\n".join(
        ["| cause | family | severity | in one sentence |", "| --- | --- | --- | --- |", *rows, ""]
    )


def format_table() -> str:
    rows = [f"| `{m.NAME}` | {first_line(m.__doc__ or '')} |" for m in formats()]
    return "\n".join(["| format | what it reads |", "| --- | --- |", *rows, ""])


def causes(rules: Sequence[Rule]) -> str:
    """Return the list of all causes, by family."""
    parts = ["# Causes\n", "Generated from `rules/causes/`, a page each.\n"]
    for family in dict.fromkeys(rule.family for rule in rules):
        rows = [f"- [{r.cause}](causes/{r.cause}.md): {r.says}" for r in rules if r.family == family]
        parts += [f"## {capitalized(family.replace('_', ' '))}\n", *rows, ""]
    return "\n".join(parts)


def cause(rule: Rule, fixes: Mapping[str, Fix]) -> str:
    """Return the page of a cause: what it is, what is looked at, what it is mistaken for, what mends it."""
    logs = ", ".join(NEEDS[need].log for need in logs_of(rule))
    family = rule.family.replace("_", " ")
    parts = [
        f"# {rule.cause}\n",
        f"{rule.says} {rule.why}\n",
        f"Family: {family}. Severity: {rule.severity}. Looks at: {logs}.\n",
    ]
    for side in ("for", "against"):
        signs = [sign for sign in rule.signs if sign.side == side]
        rows = [f"| {s.strength} | {unfilled(s.says)} | {condition(s)} |" for s in signs]
        parts += [f"## What speaks {side} it\n", "| word | sign | when |", "| --- | --- | --- |", *rows, ""]
    parts += [f"## False alarms\n\nIt may be named without being there: {rule.falsepositives}.\n"]
    parts += [f"Look-alikes: {', '.join(f'[{name}]({name}.md)' for name in rule.confused_with)}.\n"]
    parts += ["## What to change\n"]
    for name in rule.fixes:
        parts += [f"### {fixes[name].title}\n", f"{fixes[name].advice} ([{name}](../fixes/{name}.md))\n"]
        parts += snippets(fixes[name]) if name == rule.fixes[0] else []
    return "\n".join([*parts, *references(rule.references)])


def condition(sign: Sign) -> str:
    """Return the condition of a sign for a cell, with the phenotype it belongs to."""
    shows = f" ({sign.shows})" if sign.shows else ""
    return f"`{sign.condition.text}`{shows}"


def all_fixes(fixes: Mapping[str, Fix]) -> str:
    """Return the list of all fixes."""
    rows = [f"- [{fix.id}](fixes/{fix.id}.md): {fix.title}" for fix in fixes.values()]
    return "\n".join(["# Fixes\n", "Generated from `rules/fixes/`, a page each.\n", *rows, ""])


def one_fix(fix: Fix, rules: Sequence[Rule]) -> str:
    """Return the page of a fix: what to do, why it helps, the code, and what it mends."""
    mends = [f"[{rule.cause}](../causes/{rule.cause}.md)" for rule in rules if fix.id in rule.fixes]
    parts = [f"# {fix.id}\n", f"**{fix.title}.** {fix.advice}\n", f"{fix.why}\n"]
    parts += [f"Mends: {', '.join(mends)}.\n"] if mends else []
    return "\n".join([*parts, *snippets(fix), *references(fix.references)])


def snippets(fix: Fix) -> list[str]:
    """Return the code of a fix, for each framework."""
    named = fix.snippets.items()
    return [f"{FRAMEWORKS.get(name, name)}:\n\n```python\n{code.strip()}\n```\n" for name, code in named]


def references(of: Sequence[str]) -> list[str]:
    return [f"References: {'; '.join(of)}.\n"] if of else []


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def facts() -> str:
    rows = [f"| `{f.name}` | {f.unit} | {f.needs} | {f.meaning} |" for f in known_facts().values()]
    head = [
        "# Facts",
        "",
        "What a rule can ask of a run; a fact whose log is missing is unknown, never 0.",
        "",
    ]
    return "\n".join([*head, "| fact | unit | needs | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def first_line(doc: str) -> str:
    return doc.strip().splitlines()[0].rstrip(".")


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(HERE.parent)}")
