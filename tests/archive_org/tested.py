"""Record for which version of the fake archive.org its own tests have passed.

`python -m archive_org.tested` records the current version; `make test-fake` runs it when the tests pass.

tests/archive_org/conftest.py skips these tests while the current version is the recorded one.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path

_FOLDER = Path(__file__).parent
_RECORD = _FOLDER / "tested.sha256"


def current_version() -> str:
    """Return the SHA-256 of the modules in this folder and of the version of the client library."""
    digest = hashlib.sha256(version("internetarchive").encode())
    for path in sorted(_FOLDER.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def is_recorded() -> bool:
    """Whether the tests have passed for the current version."""
    return _RECORD.is_file() and _RECORD.read_text(encoding="ascii").strip() == current_version()


if __name__ == "__main__":
    _RECORD.write_text(f"{current_version()}\n", encoding="ascii")
