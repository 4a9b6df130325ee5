"""The report of a finished run, whichever job made it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

JOBS = ("gain", "semi", "compare", "verify", "evaluate")
"""Jobs with a report; each writes NAME.json, and ``pipelines.NAME.run`` can write its page anew."""


def report_of_run(run: Path) -> Path:
    """Write the report of a finished run anew.

    Raises:
        click.UsageError: If no job has finished there.
    """
    from pipelines.config import Config, load_config

    found = [job for job in JOBS if (run / f"{job}.json").is_file()]
    config = run / "config.yaml"
    # An evaluation may be written beside the run that it is of; its page needs no configuration.
    if not found or not (config.is_file() or found[0] == "evaluate"):
        raise click.UsageError(
            f"{run}: no finished run of {', '.join(JOBS)} here", click.get_current_context()
        )
    job = import_module(f"pipelines.{found[0]}.run")
    page: Path = job.report_again(load_config(config) if config.is_file() else Config(), run)
    return page
