"""Rules that the code must keep: layers, stages' docstrings, who prints, and a reason for every exception."""

import ast
import inspect
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from oldump.pipeline.stage import Stage
from oldump.pipeline.table import STAGE_OF, STAGES
from oldump.stages.deworks.stage import READS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PYTHON_FILES = sorted(path for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*.py"))
HEADER = ("Reads:", "Writes:", "Guarantees:", "Memory:", "On failure:")


def comments(source: str) -> list[str]:
    """Return the comments of a module, but no text inside a string that looks like one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def exceptions_without_reason(source: str) -> list[str]:
    """Return comments that silence a tool without a reason, which follows a second # or a dash."""
    found = [comment for comment in comments(source) if re.match(r"#\s*(noqa|type:\s*ignore|pragma|nosec)", comment)]
    silent = r"#\s*(noqa(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?|type:\s*ignore(\[[\w,\s-]*\])?)\s*"
    return [comment for comment in found if re.sub(silent, "", comment, count=1).strip(" #-–") == ""]


def prints(source: str) -> list[int]:
    """Return the lines that call print or use sys.stdout."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            lines.append(node.lineno)
        if isinstance(node, ast.Attribute) and node.attr in {"stdout", "__stdout__"}:
            lines.append(node.lineno)
    return lines


def test_imports_point_down() -> None:
    """lint-imports accepts the layers of design.md."""
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "3 kept, 0 broken" in ran.stdout


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stages_docstring_has_all_fields(stage: Stage) -> None:
    """Reads, Writes, Guarantees, Memory, On failure, as in style.md."""
    folder = ROOT / "src" / "oldump" / "stages"
    places = (folder / f"{stage.name}.py", folder / stage.name / "stage.py", folder / "tables.py")
    module = next(path for path in places if path.exists())
    docstring = (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").replace(
        "Promises:", "Guarantees:"
    )
    words = [docstring.find(f"\n{word}") for word in HEADER]
    assert words == sorted(words)
    assert words[0] > 0
    written = docstring[words[1] : words[2]]
    assert all(name in written or "part" in written for name in stage.writes)


def test_stages_read_what_earlier_stages_write() -> None:
    """In the table of stages, no stage reads the output of a later one."""
    known = {"database", "coverstore", "archive database", "data"}
    for stage in STAGES:
        assert set(stage.reads) <= known
        known |= set(stage.writes)


def test_the_table_names_what_deworks_reads() -> None:
    """The table repeats the list, so that a run without this stage does not import it."""
    assert STAGE_OF["deworks"].reads == (*READS, "ia-metadata")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints(path: Path) -> None:
    """Data never goes through the standard output of the process during a run (incident 6825)."""
    assert path.parent.name == "cli" or prints(path.read_text(encoding="utf-8")) == []


def test_a_print_is_found() -> None:
    """The rule above finds a print call and a use of sys.stdout."""
    assert prints("def f():\n    print(1)\n    x = 'print(2)'\n    sys.stdout.write(x)\n") == [2, 4]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_exception_to_a_rule_has_its_reason(path: Path) -> None:
    """A comment that silences ruff or mypy says why, on the same line."""
    assert exceptions_without_reason(path.read_text(encoding="utf-8")) == []


def test_an_exception_without_reason_is_found() -> None:
    """Codes alone are no reason; text inside a string is no comment."""
    bad = ["# noqa", "# noqa: S101", "# noqa: S101, D105", "# type: ignore", "# type: ignore[misc]", "# noqa: S101 -"]
    good = ["# noqa: S101 - shown", "# type: ignore[misc] # its stub says too little", "# nothing"]
    source = "\n".join(f"x = 1  {comment}" for comment in bad + good) + "\ny = '# noqa'\n"
    assert exceptions_without_reason(source) == bad


def test_no_code_in_package_files() -> None:
    """An __init__.py holds a docstring and nothing else."""
    for path in SOURCES:
        if path.name == "__init__.py":
            (statement,) = ast.parse(path.read_text(encoding="utf-8")).body
            assert isinstance(statement, ast.Expr), path


def test_each_stage_has_its_own_function() -> None:
    """Each row of the table of stages names a different function."""
    assert len({stage.run for stage in STAGES}) == len(STAGES)
    assert all(inspect.isfunction(stage.run) for stage in STAGES)
