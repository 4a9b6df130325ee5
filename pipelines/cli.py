"""The command line: every command is one call of the Python API. Until one runs, click alone is imported."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from pipelines.interrupt import Interrupted, SignalGate, signals_raise

if TYPE_CHECKING:
    from pipelines.config import Config

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
}
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
EPILOG = (
    "Exit codes: 0 done, 1 failed for the reason shown, 2 wrong usage or config, 3 bad data, 4 training diverged, "
    "130 or 143 interrupted. AUGMENTOR_DATA names the folder of data sets."
)


class KeyOption(click.Option):
    """An option that overrides a key of the config, whose description and default are its help."""

    def __init__(self, *declarations: Any, key: str, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.key = key

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Look the help up in the config's models, which takes a moment, and therefore only here."""
        from pipelines.config import Config

        model: Any = Config
        for part in self.key.split("."):
            field = model.model_fields[part]
            model = field.annotation
        default = "" if field.default is None else f"  [default: {_plain(field.default)}]"
        self.help = f"{field.description}{default}"
        return super().get_help_record(ctx)


class JobCommand(click.Command):
    """A command whose help groups the options by the section of the config they belong to."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options a section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            key = option.key if isinstance(option, KeyOption) else ""
            record = option.get_help_record(ctx)
            if record and isinstance(option, click.Option):
                sections.setdefault(SECTIONS.get(key.split(".")[0], "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class JobGroup(click.Group):
    """Lists its commands in the order of a user's walk instead of the alphabet's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of definition."""
        return list(self.commands)


def key(flag: str, name: str, **settings: Any) -> Callable[[Command], Command]:
    """An option that overrides the config key ``name``."""
    return click.option(flag, name.replace(".", "__"), cls=KeyOption, key=name, default=None, **settings)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, listed in the order given."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _remember_debug(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        os.environ["AUGMENTOR_DEBUG"] = "1"  # in the environment, so that worker processes know it too


def _split_commas(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def _split_numbers(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    parts = _split_commas(ctx, option, value)
    try:
        return None if parts is None else tuple(map(int, parts))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of whole numbers such as 20,100", ctx, option) from None


def _split_each(ctx: click.Context, option: click.Parameter, value: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(_split_commas(ctx, option, text) or () for text in value)


verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_remember_debug,
    help="Show the traceback of an error.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document, nothing else.")
out_option = click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
config_argument = click.argument(
    "config", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True)
)
run_argument = click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
dry_run = click.option("--dry-run", is_flag=True, help="Load the data, print the whole config, and stop.")

form_options = together(
    key("--data-root", "data.data_root", type=click.Path(file_okay=False)),
    key(
        "--size",
        "data.size",
        type=click.Choice(["8", "16", "28", "32", "64", "128"]),
        callback=lambda c, o, v: v and int(v),
    ),
    key("--grey/--colour", "data.grey", is_flag=True),
    key("--test-fraction", "data.test_fraction", type=float),
)
data_option = key("--data", "data.data", metavar="DATA")
data_options = together(
    data_option,
    form_options,
    key("--per-class", "data.per_class", type=int, metavar="N"),
    key("--imbalance", "data.imbalance", type=float, metavar="RATIO"),
    key("--labels", "data.labels", type=int, metavar="N"),
    key("--unlabelled", "data.unlabelled", metavar="rest|PATH"),
    key("--max-pool", "data.max_pool", type=int, metavar="N"),
)
source_options = together(
    key("--family", "source.family", metavar="NAME"),
    key("--preset", "source.preset"),
    key("--steps", "source.steps", type=int, metavar="N"),
    key("--batch-size", "source.batch_size", type=int, metavar="N"),
    key("--source-augment", "source.source_augment", type=click.Choice(["none", "classical"])),
)
run_options = together(
    key("--seed", "seed", type=int),
    key("--device", "device", metavar="DEVICE"),
    key("--threads", "threads", type=int, metavar="N"),
    key("--out", "out", type=click.Path(file_okay=False)),
    as_json,
    verbose,
)


@click.group(cls=JobGroup, invoke_without_command=True, context_settings=SETTINGS, epilog=EPILOG)
@click.version_option(package_name="augmentor", message="%(package)s %(version)s")
@verbose
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Train a class-conditional generator, synthesize images, and measure what they add to a classifier."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cli.command(cls=JobCommand, short_help="All of it on small digits, in minutes.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default="runs/demo", show_default=True, help="Folder."
)
@as_json
@verbose
def demo(out: Path, as_json: bool) -> None:
    """The whole job on scikit-learn's digits, in minutes and without a download."""
    from pipelines.gain.demo import demo_run
    from pipelines.progress import show

    with show() as progress:
        result = demo_run(out, progress=progress)
    _print(result, as_json, lambda: _gain_text(result, out))


@cli.command(cls=JobCommand, short_help="Read every image of a data set; list what is wrong.")
@click.argument("data")
@form_options
@as_json
@verbose
def check(data: str, as_json: bool, **values: Any) -> None:
    """Read every image of DATA: digits, mnist, fashion-mnist or a folder.

    Lists classes, counts, sizes, and bad files with their paths. Exit code 3 if something has to be repaired.
    """
    config = _config(None, {**values, "data__data": data})
    from pipelines.check import check_data
    from pipelines.progress import show

    with show() as progress:
        report = check_data(config.data, progress)
    _print(report.to_json(), as_json, report.text)
    if not report.ok:
        raise click.exceptions.Exit(3)


@cli.command(cls=JobCommand, short_help="Train a generator.")
@config_argument
@data_options
@source_options
@click.option("--resume", is_flag=True, help="Go on from the last good checkpoint; CONFIG may then be left out.")
@dry_run
@run_options
def train(config: Path | None, resume: bool, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Train a generator by the file CONFIG, or on --data; options override the file."""
    if resume and config is None and values["data__data"] is None:
        config = _config_of_run(values["out"])
    settings = _config(config, values, needs_data=True)
    out = _out(settings, config)
    if dry_run:
        return _print_plan(settings, as_json)
    from pipelines.progress import show
    from pipelines.source.train import train_run

    with show() as progress:
        result = train_run(settings, out, resume=resume, progress=progress)
    _print(result, as_json, lambda: f"{result.step} steps in {result.seconds:.0f} s: {result.run}")


@cli.command(cls=JobCommand, short_help="Write synthetic images of a trained generator.")
@run_argument
@click.option(
    "--class-balance",
    "strategy",
    is_flag=False,
    flag_value="auto",
    metavar="[STRATEGY]",
    help="auto: fill every class up to the largest; or minority, not-minority, not-majority, all, a total a class, "
    "a ratio with a point, or a .json file of {class: total}.",
)
@click.option("--per-class", type=click.IntRange(min=1), metavar="N", help="N synthetic images of every class.")
@click.option(
    "--ratio",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help="R synthetic images per real one of a class.",
)
@click.option("--classes", metavar="A,B", callback=_split_commas, help="These classes only.")
@click.option("--filter", "filter_", metavar="confidence=P", help="Keep images a classifier is this sure of.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the set.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["folder", "shards"]),
    default="folder",
    show_default=True,
    help="A folder a class, or tar shards in WebDataset's layout.",
)
@out_option
@as_json
@verbose
def synth(
    run: Path, out: Path | None, filter_: str | None, format_: Literal["folder", "shards"], as_json: bool, **values: Any
) -> None:
    """Write synthetic images of the trained RUN; running it again finishes what is missing.

    How many is said by one of --class-balance (the default), --per-class and --ratio. Default of --out: RUN/synthetic.
    """
    _at_most_one(values, {"strategy": "--class-balance", "per_class": "--per-class", "ratio": "--ratio"})
    from pipelines.progress import show
    from pipelines.source.synthesize import synthesize_run

    with show() as progress:
        target = out or run / "synthetic"
        result = synthesize_run(run, target, filter=filter_, format=format_, progress=progress, **values)
    _print(result, as_json, lambda: _lines(_jsonable(result)))


@cli.command(cls=JobCommand, short_help="Measure what synthetic images add to a classifier.")
@config_argument
@data_options
@source_options
@key("--classifier", "classifier.name", metavar="NAME")
@key("--classifier-steps", "classifier.steps", type=int, metavar="N")
@key("--domain", "classifier.domain", type=click.Choice(["digits", "natural", "auto"]))
@key("--arms", "gain.arms", metavar="A,B", callback=_split_commas)
@key("--replicates", "gain.replicates", type=int, metavar="N")
@key("--processes", "gain.processes", type=int, metavar="N")
@key("--tuning", "gain.tuning", is_flag=True, flag_value=True)
@dry_run
@run_options
def gain(config: Path | None, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Measure what synthetic images add to a classifier: arms, paired replicates, intervals, advice."""
    settings = _config(config, values, needs_data=True)
    out = _out(settings, config)
    if dry_run:
        return _print_plan(settings, as_json, tuning=settings.gain.tuning)
    from pipelines.gain.run import gain_run
    from pipelines.progress import show

    with show() as progress:
        result = gain_run(settings, out, progress=progress)
    _print(result, as_json, lambda: _gain_text(result, out))


@cli.command(cls=JobCommand, short_help="Many gain results on one page.")
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@as_json
@verbose
def summary(results: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Put each RESULT, a file or folder of gain or verify, into one summary: tables, forest plot, page."""
    from pipelines.gain.summary import summary_run
    from pipelines.gain.summary_tables import as_text

    result = summary_run(results, out)
    _print(
        result,
        as_json,
        lambda: f"{as_text(result)}\n\n{result['verdict']}\n\n{out / 'summary.html'}  {out / 'gain.md'}",
    )


@cli.command(cls=JobCommand, short_help="Measure methods for few labels and many images.")
@config_argument
@data_option
@form_options
@key("--unlabelled", "data.unlabelled", metavar="PATH")
@key("--max-pool", "data.max_pool", type=int, metavar="N")
@key("--steps", "source.steps", type=int, metavar="N")
@key("--classifier", "classifier.name", metavar="NAME")
@key("--classifier-steps", "classifier.steps", type=int, metavar="N")
@key("--domain", "classifier.domain", type=click.Choice(["digits", "natural", "auto"]))
@key("--labels", "semi.labels", metavar="N,N", callback=_split_numbers)
@key("--subsets", "semi.subsets", type=int, metavar="N")
@key("--methods", "semi.methods", metavar="A,B", callback=_split_commas)
@key("--baseline-labels", "semi.baseline_labels", metavar="N,N", callback=_split_numbers)
@key("--baseline-subsets", "semi.baseline_subsets", type=int, metavar="N")
@key("--gan-steps", "semi.gan_steps", type=int, metavar="N")
@key("--processes", "semi.processes", type=int, metavar="N")
@key("--tuning", "semi.tuning", is_flag=True, flag_value=True)
@dry_run
@run_options
def semi(config: Path | None, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Measure semi-supervised methods: the same few labels for all, the other training images without labels."""
    settings = _config(config, values, needs_data=True)
    out = _out(settings, config)
    if dry_run:
        return _print_plan(settings, as_json, tuning=settings.semi.tuning)
    from pipelines.progress import show
    from pipelines.semi.run import semi_run

    with show() as progress:
        result = semi_run(settings, out, progress=progress)
    _print(result, as_json, lambda: _semi_text(result, out))


@cli.command(cls=JobCommand, short_help="Train families with one budget; measure them with one judge.")
@config_argument
@data_options
@key("--families", "compare.families", metavar="A,B", callback=_split_commas)
@key("--steps", "source.steps", type=int, metavar="N")
@key("--batch-size", "source.batch_size", type=int, metavar="N")
@key("--source-augment", "source.source_augment", type=click.Choice(["none", "classical"]))
@key("--samples", "compare.samples", type=int, metavar="N")
@key("--judge-steps", "compare.judge_steps", type=int, metavar="N")
@key("--student-steps", "compare.student_steps", type=int, metavar="N")
@key("--processes", "compare.processes", type=int, metavar="N")
@dry_run
@run_options
def compare(config: Path | None, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Train families of generators on one data set with one budget, and measure all of them with one judge.

    Running it again goes on where it was cut off. Options of single families, and finished runs to measure beside
    them, are given in the section compare of the file CONFIG.
    """
    settings = _config(config, values, needs_data=True)
    out = _out(settings, config)
    if dry_run:
        return _print_plan(settings, as_json)
    from pipelines.compare.run import compare_run
    from pipelines.progress import show

    with show() as progress:
        result = compare_run(settings, out, progress=progress)
    _print(result, as_json, lambda: _compare_text(result, out))


@cli.command(cls=JobCommand, short_help="Measure what synthetic faces add to telling people apart.")
@config_argument
@data_option
@form_options
@key("--pairs", "verify.pairs", metavar="PATH")
@click.option(
    "--synthetic",
    "verify__synthetic",
    multiple=True,
    type=click.Path(file_okay=False),
    callback=lambda c, o, v: v or None,
    help="A synthetic set as an arm: more images of people of the data, or new people. Repeats.",
)
@key("--train-folds", "verify.train_folds", metavar="N,N", callback=_split_numbers)
@key("--head", "verify.head", type=click.Choice(["softmax", "arcface", "cosface"]))
@key("--weights", "verify.weights", type=click.Path(exists=True, dir_okay=False))
@key("--replicates", "verify.replicates", type=int, metavar="N")
@key("--classifier", "classifier.name", metavar="NAME")
@key("--classifier-steps", "classifier.steps", type=int, metavar="N")
@run_options
def verify(config: Path | None, as_json: bool, **values: Any) -> None:
    """Train a network to tell people, and score pairs of people it has not seen by the cosine of its features.

    By the file CONFIG, or on --data; every --synthetic set is an arm beside no extra data, with equal steps, and so are
    the real people of --train-folds, a control.
    """
    settings = _config(config, values, needs_data=True)
    out = settings.out or Path("runs") / (config.stem if config else f"{Path(settings.data.data).name}-verify")
    from pipelines.progress import show
    from pipelines.verify.run import verify_run

    with show() as progress:
        result = verify_run(settings, out, progress=progress)
    _print(result, as_json, lambda: _verify_text(result, out))


@cli.command(cls=JobCommand, short_help="Judge the images of a trained generator.")
@run_argument
@click.option("--samples", type=click.IntRange(min=2), default=10000, show_default=True, help="Images to generate.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of judge and samples.")
@out_option
@as_json
@verbose
def evaluate(run: Path, out: Path | None, samples: int, seed: int, as_json: bool) -> None:
    """Judge the images of the trained RUN: correctness, fidelity, coverage, usefulness, memorisation.

    Default of --out: RUN.
    """
    from pipelines.progress import show
    from pipelines.source.evaluate import as_markdown, evaluate_run

    with show() as progress:
        result = evaluate_run(run, out, samples=samples, seed=seed, progress=progress)
    _print(result, as_json, lambda: as_markdown(result))


@cli.group(cls=JobGroup, short_help="Reconstruct, morph, transfer, mix, inpaint, frontalize.")
def edit() -> None:
    """Edit image files with a trained generator.

    All but mix-identities need a family with an encoder; all but frontalize too need the class of every image: --label,
    or the name of the folder the file lies in. Images are cut and resized as training images are.
    """


label_option = click.option("--label", metavar="CLASS", help="Class of the files; else their folder's name is it.")
edit_out = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.  [default: RUN/edits]"
)
file_type = click.Path(path_type=Path, dir_okay=False)
files_argument = click.argument("files", nargs=-1, required=True, type=file_type)
edit_options = together(label_option, edit_out, as_json, verbose)


@edit.command(cls=JobCommand, short_help="Encode images and render them again.")
@run_argument
@files_argument
@edit_options
def reconstruct(run: Path, files: tuple[Path, ...], label: str | None, out: Path | None, as_json: bool) -> None:
    """Encode the FILES by the trained RUN and render them again, side by side in reconstruct.png."""
    from pipelines.edit.files import reconstruct_files

    _print_edit(reconstruct_files(run, files, out or run / "edits", label=label), as_json)


@edit.command(cls=JobCommand, short_help="Walk from one image of a class to another.")
@run_argument
@click.argument("first", type=file_type)
@click.argument("last", type=file_type)
@click.option("--steps", type=click.IntRange(min=2), default=8, show_default=True, help="Images, both ends included.")
@click.option("--gif", is_flag=True, help="An animation, morph.gif, instead of a row of pictures.")
@edit_options
def morph(
    run: Path, first: Path, last: Path, label: str | None, out: Path | None, as_json: bool, **values: Any
) -> None:
    """Walk from the image FIRST to LAST, two of one class, with the label held."""
    from pipelines.edit.files import morph_files

    _print_edit(morph_files(run, first, last, out or run / "edits", label=label, **values), as_json)


@edit.command(cls=JobCommand, short_help="Attributes of images under the labels of other classes.")
@run_argument
@files_argument
@click.option("--to", metavar="A,B", callback=_split_commas, help="Classes to render.  [default: all]")
@edit_options
def transfer(
    run: Path,
    files: tuple[Path, ...],
    to: tuple[str, ...] | None,
    label: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Render the attributes of the FILES (stroke, pose, light) as other classes."""
    from pipelines.edit.files import transfer_files

    _print_edit(transfer_files(run, files, out or run / "edits", label=label, to=to), as_json)


@edit.command(cls=JobCommand, short_help="New classes from blended labels, as a synthetic set.")
@run_argument
@click.option(
    "--mix", "mixes", metavar="A,B,…", multiple=True, callback=_split_each, help="Blend these in equal parts. Repeats."
)
@click.option("--new", type=click.IntRange(min=0), default=0, metavar="N", help="N new classes of random mixtures.")
@click.option("--of", type=click.IntRange(min=2), default=3, show_default=True, help="Classes in each of those.")
@click.option(
    "--per-class", type=click.IntRange(min=1), default=10, show_default=True, help="Images of every new class."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of mixtures and images.")
@click.option(
    "--format",
    "format",
    type=click.Choice(["folder", "shards"]),
    default="folder",
    show_default=True,
    help="A folder a class, or tar shards in WebDataset's layout.",
)
@out_option
@as_json
@verbose
def mix_identities(run: Path, out: Path | None, as_json: bool, **values: Any) -> None:
    """Blend labels of the trained RUN into new classes and write a synthetic set of them, as synth does.

    Works with every family. Default of --out: RUN/mixed.
    """
    from pipelines.edit.mix_identities import mix_identities_run
    from pipelines.progress import show

    with show() as progress:
        result = mix_identities_run(run, out or run / "mixed", progress=progress, **values)
    _print(result, as_json, lambda: _lines(_jsonable(result)))


@edit.command(cls=JobCommand, name="inpaint", short_help="Fill a hole in images.")
@run_argument
@files_argument
@click.option("--mask", type=file_type, help="An image, white in the hole and black elsewhere.")
@click.option(
    "--box", metavar="L,T,W,H", callback=_split_numbers, help="The hole: left, top, width, height in the RUN's pixels."
)
@click.option("--rounds", type=click.IntRange(0, 100), default=10, show_default=True, help="Times it is filled.")
@edit_options
def inpaint(
    run: Path, files: tuple[Path, ...], label: str | None, out: Path | None, as_json: bool, **values: Any
) -> None:
    """Fill a hole in the FILES, round after round; inpaint.png shows every round."""
    if values["box"] is not None and len(values["box"]) != 4:
        raise click.UsageError("--box takes four numbers: left,top,width,height", click.get_current_context())
    from pipelines.edit.files import inpaint_files

    _print_edit(inpaint_files(run, files, out or run / "edits", label=label, **values), as_json)


@edit.command(cls=JobCommand, name="frontalize", short_help="People in the pose of another photo.")
@run_argument
@files_argument
@click.option("--attributes", required=True, type=file_type, help="The photo to take pose, light, background from.")
@edit_out
@as_json
@verbose
def frontalize(run: Path, files: tuple[Path, ...], attributes: Path, out: Path | None, as_json: bool) -> None:
    """Show the people in the FILES, known to the RUN or not, as a chosen photo shows its own.

    Needs a run of the family ip_gan; give --attributes a face seen from the front to turn faces to it.
    """
    from pipelines.edit.files import frontalize_files

    _print_edit(frontalize_files(run, files, attributes, out or run / "edits"), as_json)


@edit.command(cls=JobCommand, short_help="Whom renders of unknown people show, by a judge.")
@run_argument
@click.option("--pairs", required=True, metavar="PATH", help="Folder with pairs.csv and photos of other people.")
@click.option(
    "--train-folds", metavar="N,N", callback=_split_numbers, help="Folds whose people the judge learns from too."
)
@click.option(
    "--judge-steps", type=click.IntRange(min=1), default=1500, show_default=True, help="Training steps of the judge."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the judge.")
@out_option
@as_json
@verbose
def identity_quality(
    run: Path, pairs: str, train_folds: tuple[int, ...] | None, out: Path | None, as_json: bool, **values: Any
) -> None:
    """Render people the RUN, an IP-GAN, has never seen; a verification network says whom it sees.

    The network is trained here, on the photos the RUN was trained on. Default of --out: RUN.
    """
    from pipelines.edit.identity_quality import as_markdown, identity_quality_run

    result = identity_quality_run(run, pairs, out or run, train_folds=train_folds or (), **values)
    _print(result, as_json, lambda: as_markdown(result))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and turn what it raises into one line and an exit code.

    Args:
        arguments: The command line without the program; this process's own unless given.

    Returns:
        The exit code.
    """
    with signals_raise(restore=arguments is not None) as gate:  # without arguments the process ends with this
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
        code, message = _verdict(error)
        click.echo(f"augmentor: {_harmless(' '.join(message.split()))}", err=True)
        return code


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

    from augmentor.types import DataError, DivergedError
    from downstream.train import NonFiniteLossError
    from pipelines.config import ConfigError
    from pipelines.interrupt import Interrupted
    from pipelines.run_dir import RunLockedError

    message = str(error)
    match error:
        case Interrupted():
            return 128 + error.signum, message
        case ConfigError():
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


def _config(path: Path | None, values: Mapping[str, Any], *, needs_data: bool = False) -> Config:
    """The file's keys with the given options laid over them."""
    from pipelines.config import config_from, read_yaml

    if needs_data and path is None and values["data__data"] is None:
        raise click.UsageError("give a CONFIG file or --data", click.get_current_context())
    merged = read_yaml(path) if path else {}
    for name, value in values.items():
        *sections, last = name.split("__")
        inner = merged
        for section in sections:
            inner = inner.setdefault(section, {}) if isinstance(inner, dict) else {}
        if value is not None and isinstance(inner, dict):
            inner[last] = value
    return config_from(merged, where=str(path) if path else "options")


def _config_of_run(out: str | None) -> Path:
    if out is None:
        raise click.UsageError(
            "--resume needs --out, or the CONFIG or --data it began with", click.get_current_context()
        )
    return Path(out) / "config.yaml"


def _out(config: Config, path: Path | None) -> Path:
    """The folder of the run: as configured, else named after the config file or the data."""
    return config.out or Path("runs") / (path.stem if path else Path(config.data.data).name)


def _print_plan(config: Config, as_json: bool, *, tuning: bool = False) -> None:
    from pipelines.config import dump_config
    from pipelines.datasets import load_data

    bundle = load_data(config.data, config.seed, tuning=tuning)
    kind = "test images" if bundle.scored_on == "test" else bundle.scored_on
    found = f"# {bundle.name}: {bundle.regime}; {len(bundle.test)} {kind}; {bundle.note}\n"
    _print(config.model_dump(mode="json"), as_json, lambda: found + dump_config(config))


def _at_most_one(values: Mapping[str, Any], flags: Mapping[str, str]) -> None:
    given = [flag for name, flag in flags.items() if values[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other", click.get_current_context())


def _print(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    whole = json.dumps(_jsonable(result), indent=2, ensure_ascii=False) if as_json else text().rstrip("\n")
    click.echo("\n".join(map(_harmless, whole.split("\n"))))


def _harmless(line: str) -> str:
    """A line without what steers a terminal, or what it cannot show: class names may hold anything."""
    return "".join(c if c.isprintable() or (c.isspace() and c >= " ") else ascii(c)[1:-1] for c in line)


def _jsonable(value: Any) -> Any:
    """Dataclasses, paths and tuples as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _lines(result: Mapping[str, Any], indent: str = "") -> str:
    """A nested mapping as indented ``name: value`` lines."""
    lines = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", _lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {_plain(value)}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)


def _gain_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of arms, the verdict, and where to read on."""
    from pipelines.gain.run import gain_table

    return f"{gain_table(result)}\n\n{result['verdict']}\n\n{out / 'report.html'}  {out / 'gain.json'}"


def _compare_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of families, the verdict, and where to read on."""
    from pipelines.compare.tables import compare_table

    return f"{compare_table(result)}\n\n{result['verdict']}\n\n{out / 'report.html'}  {out / 'compare.json'}"


def _print_edit(report: Any, as_json: bool) -> None:
    _print(report, as_json, lambda: f"{len(report.images)} images in {report.out}; all of them: {report.picture}")


def _semi_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of errors, the verdict, and where to read on."""
    from pipelines.semi.tables import semi_table

    return f"{semi_table(result)}\n\n{result['verdict']}\n\n{out / 'report.html'}  {out / 'semi.json'}"


def _verify_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of arms, the verdict, and where to read on."""
    from pipelines.verify.report import verify_table

    return f"{verify_table(result)}\n\n{result['verdict']}\n\n{out / 'verify.md'}  {out / 'verify.json'}"


if __name__ == "__main__":
    sys.exit(main())
