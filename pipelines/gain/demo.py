"""The job ``demo``: the main job on real data that need no download, in a few minutes on two CPU
cores. One demo has a long tail of classes, the other combinations of class and condition that are
missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.config.start import start_config
from pipelines.gain.run import gain_run
from pipelines.progress import Progress


def demo_config(*, conditions: bool = False) -> Config:
    """The demo's config, a file of ``configs/start``.

    Args:
        conditions: Digits under eight looks, five of them seen under two looks only; otherwise
            digits with 80 to 4 labels per class, the others as an unlabelled pool.
    """
    return start_config("conditions" if conditions else "demo")


def demo_run(
    out: Path, *, conditions: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train sources, synthesize, mix, and measure the gain of every arm on digits.

    Args:
        out: Folder for gain.json, policy.json and report.html; a run that was stopped goes on
            there.
        conditions: As in ``demo_config``.
        progress: Progress reporter.

    Returns:
        The contents of gain.json.

    Raises:
        Interrupted: After a signal; finished parts stay.
        RunLockedError: If another process works in ``out``.
    """
    return gain_run(demo_config(conditions=conditions), out, progress=progress)
