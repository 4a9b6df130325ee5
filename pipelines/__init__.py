"""The jobs: functions of objects, and what YAML, the command line and files meet.

``from pipelines import gain, train, semi, compare, verify, check, synthesize`` gives the functions.
Nothing is imported until one of them is asked for.

Some functions have the name of the package that does the work. The function is the attribute;
the package is imported by ``from pipelines.gain.run import gain_run``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    raise ImportError(
        "the jobs and the command line lock their folders as Linux and macOS do; on Windows run "
        "them in WSL. The library augmentor alone needs neither."
    )
if TYPE_CHECKING:
    from pipelines.python.jobs import check, compare, gain, semi, synthesize, train, verify

__all__ = ["check", "compare", "gain", "semi", "synthesize", "train", "verify"]


class _Package(ModuleType):
    """A package whose functions keep their names when packages of these names are imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.python.jobs"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
