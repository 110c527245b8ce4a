"""Imports the kernel's modules as plain Python, even where they are compiled."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import oldump.kernel


def plain(name: str) -> ModuleType:
    """Return a kernel module, loaded from its source."""
    (folder,) = oldump.kernel.__path__
    loader = SourceFileLoader(f"plain_{name}", str(Path(folder) / f"{name}.py"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
