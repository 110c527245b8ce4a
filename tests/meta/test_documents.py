"""The documents: their links, and the files, classes and functions that they name, exist."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = [README, ROOT / "tests" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = [path for folder in ("src", "tests", "bench") for path in sorted((ROOT / folder).rglob("*.py"))]
NAMES_DOCUMENTS = [*CODE, ROOT / "Makefile", ROOT / "oldump.toml.example", *sorted((ROOT / "deploy").iterdir())]
OLD_SCRIPTS = {"oldump.py", "dump-ia-items.py", "generate_deworks.py", "scripts/sitemaps/sitemap.py"}
"""Scripts of the old procedure, which operations.md compares with oldump."""
MOST_LINES_OF_README = 150


def prose(document: Path) -> str:
    """Return the text of a document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def broken_links(document: Path) -> list[str]:
    """Return the relative links whose file or heading does not exist."""
    links = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    return [link for link in links if "://" not in link and not is_valid(link, document)]


def is_valid(link: str, document: Path) -> bool:
    """Whether the file of a relative link exists, and the heading in it."""
    name, _, anchor = link.partition("#")
    target = (document.parent / name).resolve() if name else document
    return target.exists() and (not anchor or anchor in anchors(target))


@cache
def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_modules(document: Path) -> list[str]:
    """Return the Python files that a document names and that do not exist in src, tests or bench."""
    named = set(re.findall(r"`([\w/.-]+\.py)`", prose(document))) - OLD_SCRIPTS
    return [name for name in sorted(named) if not any(path.as_posix().endswith(f"/{name}") for path in CODE)]


def missing_names(document: Path) -> list[str]:
    """Return the classes, functions and constants that a document names and that src does not define."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in CODE if path.is_relative_to(ROOT / "src"))
    tokens = re.findall(r"`(?!ol_|NAME)([A-Za-z_]\w*(?:\.[a-z_]\w*)?)`", prose(document))
    parts = {part for token in tokens if not token.endswith(".py") for part in token.split(".")}
    names = {part for part in parts if re.search(r"^[A-Z]|_", part)}
    is_defined = r"(^|\n)\s*((class|def) {0}\b|{0}\s*[:=])"
    return [name for name in sorted(names) if not re.search(is_defined.format(name), source)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_resolves(document: Path) -> None:
    """A reader who follows a link finds the file and the heading."""
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_named_module_exists(document: Path) -> None:
    """A reader who looks for a file of the code finds it."""
    assert missing_modules(document) == []


def test_every_name_in_the_architecture_exists() -> None:
    """The walk through the code leads to classes and functions that exist."""
    assert missing_names(ARCHITECTURE) == []


def test_every_document_named_in_the_code_exists() -> None:
    """Comments and messages point to documents that exist."""
    named = {name for path in NAMES_DOCUMENTS for name in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_the_readme_is_short() -> None:
    """The README is read in a few minutes."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_README


def test_a_wrong_document_is_noticed(tmp_path: Path) -> None:
    """A link without target, one without heading, a missing module and a missing function are found."""
    document = tmp_path / "wrong.md"
    document.write_text(
        "# A `b`: c\n[ok](#a-b-c) [no file](other.md) [no heading](#d)\n`no/such_module.py` `no_such_function`\n"
        "```\n[in code](nowhere.md)\n```\n",
        encoding="utf-8",
    )
    assert broken_links(document) == ["other.md", "#d"]
    assert missing_modules(document) == ["no/such_module.py"]
    assert missing_names(document) == ["no_such_function"]
