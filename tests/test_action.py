"""The step for pipelines: its files keep the published schemas, and its shell runs for real."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
FLAT = "epoch,loss\n" + "".join(f"{i},{2.3 * 0.9**i:.6f}\n" for i in range(30))


def schema(name: str) -> dict[str, object]:
    folder = resources.files("check_jsonschema.builtin_schemas.vendor")
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("action.yml", "github-actions.json"),
        ("docs/ci/gitlab.yml", "gitlab-ci.json"),
        ("docs/ci/github.yml", "github-workflows.json"),
    ],
)
def test_a_file_for_pipelines_keeps_the_published_schema(file: str, name: str) -> None:
    content = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    content = {
        "on" if key is True else key: value for key, value in content.items()
    }  # YAML 1.1 reads on as true
    jsonschema.Draft7Validator(schema(name)).validate(content)


@pytest.mark.parametrize("file", ["action.yml", "docs/ci/github.yml"])
def test_every_action_is_pinned_to_a_commit(file: str) -> None:
    used = re.findall(r"uses: (\S+)", (ROOT / file).read_text(encoding="utf-8"))
    elsewhere = [one for one in used if not one.startswith("./")]
    assert elsewhere
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", one) for one in elsewhere)


def test_no_input_is_pasted_into_a_shell_and_the_reports_are_always_kept() -> None:
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")
    assert "always()" in STEPS["Keep the reports"]["if"]
    assert "always()" in STEPS["Gate"]["if"]


def stepped(folder: Path, name: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one step of the action as the runner does: bash, options of a composite step, values by environment."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "plateau-doctor").write_text(f'#!/bin/sh\nexec {sys.executable} -m plateau_doctor "$@"\n')
    (tools / "plateau-doctor").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "step-summary"),
        "PLATEAU_DOCTOR_ANALYZE_ISOLATED": "1",
    }
    for key, value in STEPS[name].get("env", {}).items():
        given = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value)
        code = (folder / "output").read_text().split("=")[1].strip() if (folder / "output").exists() else ""
        default = ACTION["inputs"][given[1]].get("default", "") if given else code
        environment[key] = variables.get(given[1], default) if given else code
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_steps_write_every_report_and_end_with_the_exit_code(tmp_path: Path) -> None:
    logs = tmp_path / "my logs"
    logs.mkdir()
    (logs / "history.csv").write_text(FLAT)
    done = stepped(tmp_path, "Analyze", {"logs": "my logs\n", "require": "learning_rate"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output").read_text() == "exit-code=1\n"
    assert done.stdout.startswith("::error file=my logs/history.csv,title=not_logged/learning_rate")
    kept = {file.name for file in (tmp_path / "plateau-doctor-report").iterdir()}
    assert kept == {
        "annotations.txt", "report.json", "report.html", "junit.xml", "report.sarif", "summary.md", "comment.md"
    }  # fmt: skip
    assert (tmp_path / "step-summary").read_text() == (
        tmp_path / "plateau-doctor-report" / "summary.md"
    ).read_text()
    assert stepped(tmp_path, "Gate", {}).returncode == 1


def test_an_input_that_looks_like_a_command_is_a_path_and_an_empty_folder_fails(tmp_path: Path) -> None:
    done = stepped(tmp_path, "Analyze", {"logs": '$(touch pwned); touch pwned "`touch pwned`"'})
    assert done.returncode == 0
    assert not (tmp_path / "pwned").exists()
    assert (tmp_path / "output").read_text() == "exit-code=2\n"
    assert stepped(tmp_path, "Gate", {}).returncode == 2


def test_the_gate_fails_where_the_analysis_never_ran(tmp_path: Path) -> None:
    assert stepped(tmp_path, "Gate", {}).returncode == 4


def test_the_script_of_the_gitlab_template_runs(tmp_path: Path) -> None:
    template = yaml.safe_load((ROOT / "docs" / "ci" / "gitlab.yml").read_text(encoding="utf-8"))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "history.csv").write_text(FLAT)
    script = [line for line in template["plateau-doctor"]["script"] if "pip install" not in line]
    variables = {key: str(value) for key, value in template["variables"].items()}
    (tmp_path / "plateau-doctor").write_text(f'#!/bin/sh\nexec {sys.executable} -m plateau_doctor "$@"\n')
    (tmp_path / "plateau-doctor").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    home = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=os.environ | variables | {"PATH": path, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for report in template["plateau-doctor"]["artifacts"]["reports"].values():
        assert (tmp_path / report).is_file()
