"""Generated pages and tables are as the rules and the code have them now."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
assert SPEC is not None
assert SPEC.loader is not None
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)


@pytest.mark.parametrize("path", generate.pages(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_generated_page_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.pages()[path], "run: python docs/generate.py"


def test_every_fact_says_what_it_means_and_what_it_needs() -> None:
    from plateau_doctor.facts import known_facts
    from plateau_doctor.facts.needs import BESIDE, NEEDS

    for fact in known_facts().values():
        assert fact.meaning.endswith("."), fact.name
        assert fact.needs in {*NEEDS, BESIDE}, fact.name


def test_every_generated_page_has_a_source() -> None:
    written = {path for kind in ("causes", "fixes") for path in (ROOT / "docs" / kind).iterdir()}
    assert written <= generate.pages().keys(), "a page of a cause or fix that is no more"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    lost = [one for one in links if "://" not in one and not (page.parent / one).exists()]
    assert not lost


@pytest.mark.parametrize("value", [0.0, 0.034, -0.5, 2.0, 12345.6, "a word", True, None])
def test_every_fact_says_its_value_in_words(value: float | str | bool | None) -> None:
    from plateau_doctor.facts import known_facts
    from plateau_doctor.facts.phrases import phrase

    for name in known_facts():
        said = phrase(name, value)
        assert "{" not in said, name
        assert "--" not in said, name
        assert name not in said
        assert not said[0].isupper(), name
    assert phrase("net.narrowest", 9.0) == "the smallest layer has 9 weights"
    assert phrase("gap.ratio", 1471.3) == "validation loss ends at 1,471 times training loss"
    assert phrase("train_loss.drop", -0.25) == "training loss ended 25% above its first level"
    assert (
        phrase("val_loss.from_clip", 0.004)
        == "validation loss ends 0.4% off a constant that libraries clip at"
    )
    assert (
        phrase("val_loss.from_clip", 1.38) == "validation loss ends far off a constant that libraries clip at"
    )
    assert phrase("val_metric.best", None) == "the validation metric was at best not logged"


def test_what_is_public_is_sorted_and_there() -> None:
    import plateau_doctor

    assert plateau_doctor.__all__ == sorted(plateau_doctor.__all__)
    for name in plateau_doctor.__all__:
        assert getattr(plateau_doctor, name) is not None
