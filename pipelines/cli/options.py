"""What commands share as arguments and options, and how a group shows them in its help."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import click

from pipelines.cli.output import plain
from pipelines.progress import QUIET

Command = TypeVar("Command", bound=Callable[..., Any])

SECTIONS = {
    "data": "Data",
    "source": "Generator",
    "pool": "Pool",
    "classifier": "Classifier",
    "gain": "Comparison",
    "semi": "Few labels",
    "verify": "Verification",
    "compare": "Families",
    "engine": "Where it runs",
}
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
EPILOG = (
    "Exit codes: 0 done, 1 failed for the reason shown, 2 wrong usage or config, 3 bad data, 4 "
    "training diverged, "
    "130 or 143 interrupted. AUGMENTOR_DATA names the folder of data sets."
)


class KeyOption(click.Option):
    """An option that overrides a key of the config, whose description and default are its help.

    Args:
        key: Of the config.
        usual: What the command line takes where nothing is said, if not the default of the key.
    """

    def __init__(
        self, *declarations: Any, key: str, usual: str | None = None, **settings: Any
    ) -> None:
        super().__init__(*declarations, **settings)
        self.key, self.usual = key, usual

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Look the help up in the config's models, which takes a moment, and therefore only
        here.
        """
        from pipelines.config import Config

        model: Any = Config
        for part in self.key.split("."):
            field = model.model_fields[part]
            model = field.annotation
        usual = self.usual or field.default
        default = "" if usual in (None, ()) else f"  [default: {plain(usual)}]"
        self.help = f"{field.description}{default}"
        return super().get_help_record(ctx)


class JobCommand(click.Command):
    """A command whose help groups the options by the section of the config they belong to."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options per section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            key = option.key if isinstance(option, KeyOption) else ""
            record = option.get_help_record(ctx)
            if record and isinstance(option, click.Option):
                sections.setdefault(SECTIONS.get(key.split(".")[0], "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class OptionalValueCommand(JobCommand):
    """A job with options whose value may be left out, such as ``--class-balance [STRATEGY]``.

    The folder of a run that follows one is the argument of the command, not that value.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give such an option its usual value where a folder follows."""
        usual = dict[str, str]()
        for option in self.params:
            # Other options have a flag value too, by click's version True or nothing.
            value = option.flag_value if isinstance(option, click.Option) else None
            if isinstance(value, str | int) and not isinstance(value, bool):
                usual |= dict.fromkeys(option.opts, str(value))
        said = list[str]()
        for word, after in zip_longest(args, args[1:], fillvalue=""):
            alone = word in usual and _is_folder(after)
            said.append(f"{word}={usual[word]}" if alone else word)
        return super().parse_args(ctx, said)


def _is_folder(word: str) -> bool:
    return not word.endswith(".json") and ("/" in word or Path(word).is_dir())


class JobGroup(click.Group):
    """Lists its commands in the order of a user's walk instead of the alphabet's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of definition."""
        return list(self.commands)


def key(flag: str, name: str, **settings: Any) -> Callable[[Command], Command]:
    """An option that overrides the config key ``name``."""
    return click.option(
        flag, name.replace(".", "__"), cls=KeyOption, key=name, default=None, **settings
    )


def number(
    flag: str, usual: int | None, words: str, *, least: int = 1
) -> Callable[[Command], Command]:
    """An option that takes a whole number N of ``least`` or more."""
    shown = usual is not None
    kind = click.IntRange(min=least)
    return click.option(flag, type=kind, default=usual, show_default=shown, metavar="N", help=words)


def processes_key(name: str) -> Callable[[Command], Command]:
    """The option for the workers of a job: auto where neither it nor the config says a number."""
    settings = {"metavar": "N", "callback": _read_processes, "usual": "auto"}
    return key("--processes", name, **settings)


def _read_processes(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> int | str | None:
    try:
        return value if value in (None, "auto") else int(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a whole number nor auto", ctx, option
        ) from None


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, listed in the order given."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _remember_debug(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        os.environ["AUGMENTOR_DEBUG"] = (
            "1"  # in the environment, so that worker processes know it too
        )


def _remember_quiet(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        os.environ[QUIET] = "1"


def split_commas(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """``A,B`` as a tuple, where ``"A,B",C`` keeps the comma in quotes; a callback of click."""
    if value is None:
        return None
    parts = next(csv.reader([value], skipinitialspace=True), [])
    return tuple(part.strip() for part in parts if part.strip())


def split_all_commas(
    ctx: click.Context, option: click.Parameter, values: Sequence[str]
) -> tuple[str, ...] | None:
    """``A,B`` and ``C`` of an option that was given twice as one tuple; a callback of click."""
    return split_commas(ctx, option, ",".join(values) or None)


def seconds_of(text: str | None) -> float | None:
    """``1h30m`` as seconds.

    Raises:
        click.BadParameter: If it is not a time.

    Example:
        >>> seconds_of("1h30m")
        5400.0
    """
    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    if not found or not any(found.groups()):
        raise click.BadParameter(f"{text!r} is not a time such as 90s, 20m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def split_numbers(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """``5,6`` as whole numbers; a callback of click."""
    parts = split_commas(ctx, option, value)
    try:
        return None if parts is None else tuple(map(int, parts))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a list of whole numbers such as 20,100", ctx, option
        ) from None


def split_each(
    ctx: click.Context, option: click.Parameter, value: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """``A,B`` as a tuple, of an option that repeats; a callback of click."""
    return tuple(split_commas(ctx, option, text) or () for text in value)


verbose = together(
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the traceback of an error.",
    ),
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_remember_quiet,
        help="Show results and errors alone: no progress, and not what to do next.",
    ),
)
"""How much is said; every command has it."""
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document, nothing else."
)
device_option = click.option(
    "--device",
    metavar="DEVICE",
    help="auto, cpu, cuda, cuda:N, mps.  [default: that of the training]",
)
out_option = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to."
)


def folder_or_url(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> Path | str | None:
    """A path, or a URL as it is; a callback of click."""
    if value is None or "://" in value:
        return value
    if Path(value).is_file():
        raise click.BadParameter(f"{value!r} is a file", ctx, option)
    return Path(value)


place_option = click.option(
    "--out",
    metavar="FOLDER|URL",
    callback=folder_or_url,
    help="Folder to write to, or a URL such as s3://bucket/set for shards.",
)
either_format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["folder", "shards"]),
    help="A folder per class, or tar shards in WebDataset's layout.  [default: folder; at a URL "
    "shards]",
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["folder", "shards"]),
    default="folder",
    show_default=True,
    help="A folder per class, or tar shards in WebDataset's layout.",
)
config_argument = click.argument(
    "config",
    required=False,
    type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True),
)
config_or_run_argument = click.argument(
    "config", required=False, type=click.Path(path_type=Path, exists=True, readable=True)
)
run_argument = click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Load the data, print what would be trained and how long it takes, and stop.",
)
budget_option = click.option(
    "--budget",
    metavar="TIME",
    callback=lambda context, option, value: seconds_of(value),
    help="Take as many replicates, then as many steps, as fit: 90s, 20m, 1h30m.",
)

form_options = together(
    key("--data-root", "data.data_root", type=click.Path(file_okay=False)),
    key(
        "--size",
        "data.size",
        type=click.Choice(["8", "16", "28", "32", "64", "128", "160", "192", "224", "256"]),
        callback=lambda c, o, v: v and int(v),
    ),
    key("--grey/--colour", "data.grey", is_flag=True),
    key("--test-fraction", "data.test_fraction", type=float),
)
condition_option = together(
    key(
        "--condition",
        "data.condition",
        metavar="NAME[,NAME]",
        multiple=True,
        callback=split_all_commas,
    ),
    key("--categories", "data.categories", metavar="NAME[,NAME]", callback=split_commas),
)
data_option = key("--data", "data.data", metavar="DATA", usual="that of CONFIG")
data_options = together(
    data_option,
    form_options,
    key("--per-class", "data.per_class", type=int, metavar="N"),
    key("--imbalance", "data.imbalance", type=float, metavar="RATIO"),
    key("--labels", "data.labels", type=int, metavar="N"),
    key("--unlabelled", "data.unlabelled", metavar="rest|PATH"),
    key("--max-pool", "data.max_pool", type=int, metavar="N"),
)
classifier_options = together(
    key("--classifier", "classifier.name", metavar="NAME"),
    key("--pretrained", "classifier.pretrained", is_flag=True, flag_value=True),
    key(
        "--weights",
        "classifier.weights",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
    ),
    key("--classifier-size", "classifier.size", type=int, metavar="N"),
    key("--classifier-steps", "classifier.steps", type=int, metavar="N"),
    key("--domain", "classifier.domain", type=click.Choice(["digits", "signs", "natural", "auto"])),
)
source_options = together(
    key("--family", "source.family", metavar="NAME"),
    key("--preset", "source.preset"),
    key("--steps", "source.steps", type=int, metavar="N"),
    key("--batch-size", "source.batch_size", type=int, metavar="N"),
    key("--source-augment", "source.source_augment", type=click.Choice(["none", "classical"])),
)
source_size_option = key(
    "--source-size",
    "source.size",
    type=click.Choice(["8", "16", "28", "32", "64", "128"]),
    callback=lambda c, o, v: v and int(v),
)
engine_options = together(
    key("--engine", "engine.name", metavar="local|ray[://HOST:PORT]"),
    key("--cpus", "engine.cpus", type=int, metavar="N"),
    key("--gpus", "engine.gpus", type=float, metavar="N"),
    key("--memory", "engine.memory", type=float, metavar="GB"),
)
run_options = together(
    key("--seed", "seed", type=int),
    key("--device", "device", metavar="DEVICE"),
    key("--threads", "threads", type=int, metavar="N"),
    key("--out", "out", type=click.Path(file_okay=False)),
    as_json,
    verbose,
)
