"""The command line: every command is one call of the Python API."""

from pipelines.cli.commands import cli
from pipelines.cli.edit_commands import edit
from pipelines.cli.exit_codes import main

__all__ = ["cli", "edit", "main"]
