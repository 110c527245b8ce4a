"""How the source is arranged: names that exist once, short modules and functions, and what the top level holds."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "oldump"
TOP_LEVEL_MODULES = {"__init__.py", "__main__.py", "errors.py", "settings.py"}
LONG_MODULES = {"kernel/rows.py"}
"""Its classes call each other at C level, which works only within a module."""
MOST_MODULE_LINES = 400
MOST_FUNCTION_LINES = 45


def modules(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the path below source, and the text, of each module."""
    for path in sorted(source.rglob("*.py")):
        yield path.relative_to(source).as_posix(), path.read_text(encoding="utf-8")


def repeated_classes(source: Path) -> dict[str, list[str]]:
    """Return the class names that are defined more than once, with their modules."""
    found = defaultdict(list)
    for name, text in modules(source):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(name)
    return {name: places for name, places in found.items() if len(places) > 1}


def long_modules(source: Path) -> list[str]:
    """Return the modules that have too many lines."""
    return [name for name, text in modules(source) if text.count("\n") > MOST_MODULE_LINES]


def long_functions(source: Path) -> list[str]:
    """Return the functions outside the kernel that have too many lines."""
    return [
        f"{name}: {node.name}"
        for name, text in modules(source)
        if not name.startswith("kernel/")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MOST_FUNCTION_LINES
    ]


def test_a_class_name_exists_once() -> None:
    """A reader who searches for a class finds one."""
    assert repeated_classes(SOURCE) == {}


def test_only_the_kernels_rows_are_a_long_module() -> None:
    """A module of 400 lines or less holds one thing."""
    assert set(long_modules(SOURCE)) == LONG_MODULES


def test_only_compiled_loops_are_long_functions() -> None:
    """A function of 45 lines or less fits on a screen."""
    assert long_functions(SOURCE) == []


def test_at_most_one_module_is_called_lines() -> None:
    """Four modules of that name held four kinds of thing."""
    assert len([name for name, _ in modules(SOURCE) if Path(name).name == "lines.py"]) <= 1


def test_the_top_level_holds_packages_and_two_modules() -> None:
    """Each package is a layer; settings and errors are modules of their own."""
    assert {path.name for path in SOURCE.glob("*.py")} == TOP_LEVEL_MODULES


def test_what_breaks_these_rules_is_found(tmp_path: Path) -> None:
    """A repeated class, a long module and a long function are each reported."""
    body = "    pass\n" * MOST_FUNCTION_LINES
    (tmp_path / "one.py").write_text(f"class Same:\n    pass\n\n\ndef long():\n{body}", encoding="utf-8")
    (tmp_path / "two.py").write_text("class Same:\n    pass\n" + "\n" * MOST_MODULE_LINES, encoding="utf-8")
    assert repeated_classes(tmp_path) == {"Same": ["one.py", "two.py"]}
    assert long_modules(tmp_path) == ["two.py"]
    assert long_functions(tmp_path) == ["one.py: long"]
