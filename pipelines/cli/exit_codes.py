"""The program: runs a command, and turns what it raises into one line and an exit code."""

from __future__ import annotations

import codecs
import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from pipelines.cli.commands import cli
from pipelines.cli.output import harmless
from pipelines.interrupt import Interrupted, SignalGate, signals_raise

PLAINER = "augmentor_plainer"
"""Name of the way to write what an output that is not UTF-8 does not know."""
PLAIN = {"−": "-", "…": "...", "±": "+-", "×": "x", "–": "-", "Δ": "d"}


def _plainer(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    unknown = error.object[error.start : error.end]
    return "".join(PLAIN.get(c, "?") for c in unknown), error.end


codecs.register_error(PLAINER, _plainer)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and turn what it raises into one line and an exit code.

    Args:
        arguments: The command line without the program; this process's own unless given.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not a notebook's
            stream.reconfigure(errors=PLAINER)
    with signals_raise(
        restore=arguments is not None
    ) as gate:  # without arguments the process ends with this
        return _run(arguments, gate)


def _run(arguments: Sequence[str] | None, gate: SignalGate) -> int:
    try:
        code = cli.main(arguments, prog_name="augmentor", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        gate.is_open = False
        if os.environ.get("AUGMENTOR_DEBUG"):
            traceback.print_exc()
        code, message = _verdict(_request_behind(error) or error)
        click.echo(f"augmentor: {harmless(' '.join(message.split()))}", err=True)
        return code


def _request_behind(error: BaseException) -> BaseException | None:
    """The request to stop that an error hides: where one comes in the middle of an import, Python
    3.11 may raise an error of its own from it.
    """
    one: BaseException | None = error
    while one is not None and not isinstance(one, KeyboardInterrupt | Interrupted):
        one = one.__cause__ or one.__context__
    return one


def _verdict(error: BaseException) -> tuple[int, str]:
    """Exit code and sentence for an exception; heavy modules are looked at last."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "augmentor"
        return 2, f"{error.format_message()} (see {command} --help)"
    if isinstance(error, click.ClickException):
        return error.exit_code, error.format_message()
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return 130, "stopped by SIGINT"
    return _verdict_of_job(error)


def _verdict_of_job(error: BaseException) -> tuple[int, str]:
    import torch

    from augmentor.common.types import DataError, DivergedError
    from downstream.train import NonFiniteLossError
    from pipelines.config import ConfigError
    from pipelines.interrupt import Interrupted
    from pipelines.run_dir import RunLockedError
    from pipelines.strict_yaml import YamlError

    message = str(error)
    match error:
        case Interrupted():
            return 128 + error.signum, message
        case ConfigError() | YamlError():
            return 2, message
        case DataError():
            return 3, message
        case DivergedError() | NonFiniteLossError():
            return 4, message
        case RunLockedError() | OSError():
            return 1, message
        case ValueError():
            return 2, f"{message} (-v shows where)"
        case MemoryError() | torch.OutOfMemoryError():
            general = "not enough memory; try a smaller --size or --batch-size"
            return 1, message if isinstance(error, MemoryError) and message else general
    return 1, f"{type(error).__name__}: {message} (-v shows where)"
