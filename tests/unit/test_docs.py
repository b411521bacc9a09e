"""The documentation holds together: every page is listed, every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    for page in PAGES:
        named = page.relative_to(DOCS).as_posix()
        assert named == "README.md" or f"]({named})" in index, f"list {named} in docs/README.md"


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)\)", page.read_text("utf-8")):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def test_the_glossary_is_in_order() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| ", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    words = [word.lower() for word in rows if word != "Word"]
    assert words == sorted(words)
    assert len(words) == len(set(words))
