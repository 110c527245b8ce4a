"""Requirements: each dependency with its reason, each file with its hash, no registry's host."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted(ROOT.glob("requirements/*.txt"))

REGISTRY = r"https?://[a-z.]*(pypi|pythonhosted|npmjs|debian)\."


def requirements_named(pyproject: str) -> list[str]:
    """Return every direct dependency of a pyproject.toml, in any group, as spelled there."""
    table = tomllib.loads(pyproject)
    project = table["project"]
    groups = chain(
        [table["build-system"]["requires"], project["dependencies"]],
        project.get("optional-dependencies", {}).values(),
        table.get("dependency-groups", {}).values(),
    )
    return list(chain.from_iterable(groups))


def requirements_without_reason(pyproject: str) -> list[str]:
    """Return the dependencies without a comment on their line or alone on the line before."""
    lines = pyproject.splitlines()
    explained = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.search(r"[\],]\s*# *\S", line) or re.match(r"\s*# *\S", before)
    ]
    return [
        requirement
        for requirement in requirements_named(pyproject)
        if not any(f'"{requirement}"' in line for line in explained)
    ]


def pins_without_hash(requirements: str) -> list[str]:
    """Return the entries of a requirements file that are not pinned exactly or have no SHA-256."""
    entries = requirements.replace("\\\n", " ").splitlines()
    return [
        entry
        for entry in entries
        if entry.strip()
        and not entry.lstrip().startswith("#")
        and not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}\b", entry)
    ]


def test_no_file_names_a_package_registry() -> None:
    """The source of packages is a setting of each machine, so no file names it."""
    found = subprocess.run(
        ["git", "grep", "--untracked", "-nIiE", REGISTRY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "")


@pytest.mark.parametrize("host", ["pypi.org", "files.pythonhosted.org", "deb.debian.org"])
def test_a_registry_is_recognised(host: str) -> None:
    """The pattern above finds each kind of host."""
    assert re.search(REGISTRY, f"--index-url https://{host}/simple")


def test_every_dependency_says_why() -> None:
    """pyproject.toml says what each dependency is for."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(requirements_named(pyproject)) > 10
    assert requirements_without_reason(pyproject) == []


def test_a_dependency_without_reason_is_found() -> None:
    """A neighbor's comment or a # inside the string is no reason."""
    pyproject = """
        [build-system]
        # Builds.
        requires = ["above"]
        [project]
        dependencies = [
            "behind",  # does this
            "bare",
            "hash#inside",
        ]
        [project.optional-dependencies]
        extra = ["extra"]
        [dependency-groups]
        dev = [
            "tests",   #
        ]
    """
    assert requirements_without_reason(pyproject) == ["bare", "hash#inside", "extra", "tests"]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_and_hashed(path: Path) -> None:
    """The installed files are, byte for byte, the compiled list's."""
    text = path.read_text(encoding="utf-8")
    assert "--hash=sha256:" in text
    assert pins_without_hash(text) == []


def test_both_requirement_files_exist() -> None:
    """The test above checks two files."""
    assert [path.name for path in REQUIREMENTS] == ["dev.txt", "run.txt"]


def test_a_pin_without_hash_is_found() -> None:
    """A loose version and a missing or short hash are each reported."""
    digest = "0" * 64
    good = f"# note\ngood==1 ; python_version < '3' \\\n    --hash=sha256:{digest}\n    # via x\n"
    bad = [f"loose>=1 --hash=sha256:{digest}", "bare==1", "short==1 --hash=sha256:00"]
    assert pins_without_hash(good + "\n".join(bad)) == bad


@pytest.mark.parametrize("name", ["run", "dev"])
def test_requirements_hold_every_direct_dependency(name: str) -> None:
    """After a new dependency, `make requirements` was run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    direct = list(project["project"]["dependencies"])
    if name == "dev":
        direct += project["project"]["optional-dependencies"]["demo"]
        direct += project["dependency-groups"]["dev"]
        direct += project["build-system"]["requires"]
    compiled = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9-]+)==", compiled, re.MULTILINE))
    wanted = {re.split(r"[^\w.-]", each)[0].replace(".", "-").lower() for each in direct}
    assert wanted - pinned == set()
