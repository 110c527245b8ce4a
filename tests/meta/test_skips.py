"""Where skipping is forbidden, as in CI, a skipped test fails."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPS = {
    "test": "import pytest\ndef test_it(): pytest.skip('no server')",
    "mark": "import pytest\n@pytest.mark.skip(reason='no server')\ndef test_it(): pass",
    "fixture": """
import pytest
@pytest.fixture
def server(): pytest.skip('no server')
def test_it(server): pass
""",
    "module": "import pytest\npytest.importorskip('no_server')",
}
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False"


def exit_code_of(module: str, folder: Path, forbid: str) -> int:
    """Run pytest on one test module with our conftest, in a process of its own; return the exit code."""
    shutil.copy(CONFTEST, folder)
    (folder / "test_it.py").write_text(f"def test_that_passes(): pass\n{module}\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", folder],
        cwd=folder,
        env={
            "OLDUMP_TESTS_FORBID_SKIP": forbid,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # other plugins take long to load
        },
        capture_output=True,
        check=False,
    )
    return run.returncode


@pytest.mark.parametrize("kind", SKIPS)
def test_a_skip_fails_where_it_is_forbidden(kind: str, tmp_path: Path) -> None:
    """Every way of skipping a test fails in CI."""
    assert exit_code_of(SKIPS[kind], tmp_path, forbid="1") in {1, 2}


def test_a_skip_passes_elsewhere(tmp_path: Path) -> None:
    """Without a server, a developer can still run the other tests."""
    assert exit_code_of(SKIPS["test"], tmp_path, forbid="") == 0


def test_an_expected_failure_is_not_a_skip(tmp_path: Path) -> None:
    """Pytest reports both as skipped; only one of them did not run."""
    assert exit_code_of(EXPECTED_FAILURE, tmp_path, forbid="1") == 0
