"""Write the generated pages of docs/ and the tables of README.md: `python docs/generate.py`.

Causes and fixes come from the rule files, facts and formats from the code; a test fails when a page is stale.
"""

from __future__ import annotations

import re
from pathlib import Path

from plateau_doctor.cli import cli
from plateau_doctor.examination import load_fixes, load_rules
from plateau_doctor.facts import known_facts
from plateau_doctor.readers import formats

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def pages() -> dict[Path, str]:
    """Return every generated file's path and text."""
    return {
        HERE / "causes.md": causes(),
        HERE / "evidence.md": evidence(),
        HERE / "facts.md": facts(),
        HERE / "fixes.md": fixes(),
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


def causes() -> str:
    parts = ["# Causes\n\nGenerated from `rules/causes/`; the word of a sign is what it counts by itself.\n"]
    for rule in load_rules():
        parts.append(f"## {rule.cause}\n\n{rule.says}\n\n{rule.why}\n")
        for side in ("for", "against"):
            signs = [s for s in rule.signs if s.side == side]
            parts.append(
                "\n".join(
                    [f"Speaks {side} it:\n", *(f"- {s.strength}: `{s.condition.text}`" for s in signs), ""]
                )
            )
        parts.append(f"False alarms: {rule.falsepositives}.\n")
        parts.append(f"Look-alikes: {', '.join(rule.confused_with)}. Fixes: {', '.join(rule.fixes)}.\n")
        parts.append(f"References: {'; '.join(rule.references)}.\n")
    return "\n".join(parts)


def facts() -> str:
    rows = [f"| `{f.name}` | {f.unit} | {f.needs} | {f.meaning} |" for f in known_facts().values()]
    head = [
        "# Facts",
        "",
        "What a rule can ask of a run; a fact whose log is missing is unknown, never 0.",
        "",
    ]
    return "\n".join([*head, "| fact | unit | needs | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def fixes() -> str:
    parts = ["# Fixes\n\nGenerated from `rules/fixes/`.\n"]
    for fix in load_fixes().values():
        parts.append(f"## {fix.id}\n\n**{fix.title}.** {fix.advice}\n\n{fix.why}\n")
        for framework, code in fix.snippets.items():
            parts.append(f"{framework}:\n\n```python\n{code.strip()}\n```\n")
        parts.append(f"References: {'; '.join(fix.references)}.\n")
    return "\n".join(parts)


def first_line(doc: str) -> str:
    return doc.strip().splitlines()[0].rstrip(".")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(HERE.parent)}")
