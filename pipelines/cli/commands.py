"""The commands: each is one call of a job. Until one runs, click alone is imported."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from augmentor import __version__
from pipelines.cli.edit_commands import edit
from pipelines.cli.options import (
    EPILOG,
    SETTINGS,
    JobCommand,
    JobGroup,
    OptionalValueCommand,
    as_json,
    budget_option,
    classifier_options,
    condition_option,
    config_argument,
    config_or_run_argument,
    data_option,
    data_options,
    device_option,
    dry_run,
    either_format_option,
    engine_options,
    form_options,
    format_option,
    key,
    number,
    out_option,
    place_option,
    processes_key,
    run_argument,
    run_options,
    source_options,
    source_size_option,
    split_commas,
    split_numbers,
    verbose,
)
from pipelines.cli.output import (
    TIMING,
    as_lines,
    jsonable,
    note,
    opening,
    parts_text,
    print_config,
    print_result,
)
from pipelines.cli.plans import (
    print_compare_plan,
    print_gain_plan,
    print_semi_plan,
    print_synth_plan,
    print_verify_plan,
)
from pipelines.cli.settings import (
    at_most_one,
    config_of,
    config_to_resume,
    out_of,
    settings_and_folder,
)
from pipelines.python.words import (
    compare_text,
    evaluate_text,
    gain_text,
    semi_text,
    verify_text,
)


@click.group(cls=JobGroup, invoke_without_command=True, context_settings=SETTINGS, epilog=EPILOG)
@click.version_option(__version__, message="augmentor %(version)s")
@verbose
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Train a class-conditional generator, synthesize images, and measure what they add to a
    classifier.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cli.command(cls=JobCommand, short_help="All of it on small digits, in minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder; default: runs/demo, or runs/demo-conditions.",
)
@click.option(
    "--conditions",
    is_flag=True,
    help="Digits under eight looks, five of the ten seen under two alone: render what is missing.",
)
@as_json
@verbose
def demo(out: Path | None, conditions: bool, as_json: bool) -> None:
    """The whole job on scikit-learn's digits, in minutes and without a download."""
    from pipelines.gain.demo import demo_run
    from pipelines.progress import show

    out = out or Path("runs/demo-conditions" if conditions else "runs/demo")
    with show() as progress:
        result = demo_run(out, conditions=conditions, progress=progress)
    print_result(result, as_json, lambda: gain_text(result, out), [opening(out)])


@cli.command(cls=JobCommand, short_help="List the configs to begin with, or write them.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write them into this folder; files that exist stay as they are.",
)
@as_json
@verbose
def configs(out: Path | None, as_json: bool) -> None:
    """List the configs to begin with, each with the command that runs it, or write them to --out.

    A checkout has them in configs/start.
    """
    from pipelines.config.start import start_texts, write_start_configs

    if out is None:
        commands = {name: text.splitlines()[0][2:] for name, text in start_texts().items()}
        print_result(commands, as_json, lambda: as_lines(commands))
        return
    words = {True: "written", False: "exists already, left as it is"}
    files = {str(file): words[new] for file, new in write_start_configs(out).items()}
    print_result(files, as_json, lambda: as_lines(files))


@cli.command(cls=JobCommand, short_help="Read every image of a data set; list what is wrong.")
@click.argument("data")
@form_options
@condition_option
@as_json
@verbose
def check(data: str, as_json: bool, **values: Any) -> None:
    """Read every image of DATA: a name such as digits or cifar10, hf:NAME, or a folder.

    Lists classes, counts, sizes, and bad files with their paths; with --condition the combinations
    of class and condition too, and which are thin or missing. Exit code 3 if something has to be
    repaired.
    """
    config = config_of(None, {**values, "data__data": data})
    from pipelines.check import check_data
    from pipelines.progress import show

    with show() as progress:
        report = check_data(config.data, progress)
    ask = f"augmentor gain --data {shlex.quote(data)}{_repeated(values)} --dry-run"
    print_result(report.to_json(), as_json, report.text, [ask] if report.ok else [])
    if not report.ok:
        raise click.exceptions.Exit(3)


def _repeated(values: Mapping[str, Any]) -> str:
    """The form and the conditions that were checked, for the command that goes on."""
    said = ""
    for option in ("data_root", "size", "test_fraction"):
        if (value := values.get(f"data__{option}")) is not None:
            said += f" --{option.replace('_', '-')} {shlex.quote(str(value))}"
    if (grey := values.get("data__grey")) is not None:
        said += " --grey" if grey else " --colour"
    for option in ("condition", "categories"):
        if names := values.get(f"data__{option}"):
            said += f" --{option} {shlex.quote(','.join(names))}"
    return said


@cli.command(cls=JobCommand, short_help="Train a generator.")
@config_argument
@data_options
@condition_option
@source_options
@click.option(
    "--resume",
    is_flag=True,
    help="Resume from the last intact checkpoint; CONFIG may then be left out.",
)
@click.option(
    "--dry-run", is_flag=True, help="Load the data, print what would be trained by, and stop."
)
@run_options
def train(config: Path | None, resume: bool, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Train a generator by the file CONFIG, or on --data; options override the file."""
    if resume and config is None and values["data__data"] is None:
        settings = config_to_resume(values)
    else:
        settings = config_of(config, values, needs_data=True)
    out = out_of(settings, config)
    if dry_run:
        return print_config(settings, as_json)
    from augmentor.common.ranks import started_first
    from pipelines.generators.in_memory import chosen_family
    from pipelines.generators.train import train_run
    from pipelines.progress import show

    with show() as progress:
        result = train_run(settings, out, resume=resume, progress=progress)
    if started_first():
        words = f"{result.step} steps in {result.seconds:.0f} s: {result.run}"
        run = shlex.quote(str(result.run))
        family, _ = chosen_family(settings.with_family().source)
        knows = settings.data.condition and family.takes_conditions
        made = f"augmentor synth {run} {'--fill' if knows else '--class-balance'}"
        print_result(result, as_json, lambda: words, [f"augmentor evaluate {run}", made])


@cli.command(cls=OptionalValueCommand, short_help="Write synthetic images of a trained generator.")
@run_argument
@click.option(
    "--class-balance",
    "strategy",
    is_flag=False,
    flag_value="auto",
    metavar="[STRATEGY]",
    help="auto: fill every class up to the largest; or minority, not-minority, not-majority, all, "
    "a total per class, "
    "a ratio with a point, or a .json file of {class: total}.",
)
@number("--per-class", None, "N synthetic images of every class.")
@click.option(
    "--ratio",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help="R synthetic images per real one of a class.",
)
@click.option(
    "--fill",
    is_flag=False,
    flag_value=0,
    type=click.IntRange(min=0),
    metavar="[N]",
    help="Of a source trained with --condition: fill missing and thin combinations of class and "
    "condition up to N, real ones included; without N up to the fullest.",
)
@click.option(
    "--classes",
    metavar="A,B",
    callback=split_commas,
    help="These classes only; a name with a comma stands in double quotes: '\"A, B\",C'.",
)
@click.option(
    "--filter", "filter_", metavar="confidence=P", help="Keep images a classifier is this sure of."
)
@click.option(
    "--spread",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Standard deviation of the latents. Default: 1; with --fill 0.8, as gain renders "
    "combinations.",
)
@number("--seed", 0, "Seed of the set.", least=0)
@number("--processes", 1, "Shards that are rendered at the same time.")
@click.option("--plan", is_flag=True, help="Say shards, bytes, time and cost; write nothing.")
@number("--workers", None, "Of --plan: for N workers too.")
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    metavar="P",
    help="Of --plan: what an hour of a worker costs.",
)
@engine_options
@device_option
@either_format_option
@place_option
@as_json
@verbose
def synth(
    run: Path,
    out: Path | str | None,
    filter_: str | None,
    format_: Literal["folder", "shards"] | None,
    as_json: bool,
    plan: bool,
    workers: int | None,
    price: float | None,
    **values: Any,
) -> None:
    """Write synthetic images of the trained RUN; running it again finishes what is missing.

    How many is said by one of --class-balance (the default), --per-class, --ratio and --fill.
    Default of --out: RUN/synthetic.
    """
    ways = {"strategy": "--class-balance", "per_class": "--per-class", "ratio": "--ratio"}
    at_most_one(values, ways | {"fill": "--fill"})
    names = ("name", "cpus", "gpus", "memory")
    engine = config_of(
        None, {f"engine__{one}": values.pop(f"engine__{one}") for one in names}
    ).engine
    target = out or run / "synthetic"
    form = format_ or ("shards" if isinstance(target, str) else "folder")
    if plan:
        processes = values.pop("processes")
        values.pop("spread")  # how far latents are drawn changes neither bytes nor time by much
        return print_synth_plan(run, filter_, form, workers or processes, price, values, as_json)
    if workers is not None or price is not None:
        raise click.UsageError("--workers and --price belong to --plan")
    from pipelines.generators.synthesize import synthesize_run
    from pipelines.progress import show

    with show() as progress:
        result = synthesize_run(
            run, target, filter=filter_, format=form, engine=engine, progress=progress, **values
        )
    mix = f'augmentor.SyntheticMix(train_set, "{target}"), in Python'
    print_result(result, as_json, lambda: as_lines(jsonable(result)), [mix])


@cli.command("import", cls=JobCommand, short_help="Turn another generator's images into a set.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "data__data",
    metavar="DATA",
    help="The real images that these are for, as in gain: compare classes, look for copies of test "
    "images.",
)
@key("--data-root", "data.data_root", type=click.Path(file_okay=False))
@number("--size", None, "Cut squares of this side.")
@click.option("--grey/--colour", default=None, help="One channel or three; default: as stored.")
@format_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the set.",
)
@as_json
@verbose
def import_(
    folder: Path,
    out: Path,
    size: int | None,
    grey: bool | None,
    format_: Literal["folder", "shards"],
    as_json: bool,
    **values: Any,
) -> None:
    """Turn FOLDER, another generator's images, into a synthetic set of unknown origin.

    FOLDER holds a folder of images per class, or tar shards in WebDataset's layout. With --data the
    classes must be those of the data, and copies of test images are refused: exact ones, mirrored,
    shifted by a pixel, stored again or resized. Exit code 3 names them.
    """
    from pipelines.outside.importing import import_run
    from pipelines.progress import show

    if values["data__data_root"] is not None and values["data__data"] is None:
        raise click.UsageError(
            "--data-root has no effect without --data", click.get_current_context()
        )
    data = config_of(None, values).data if values["data__data"] else None
    with show() as progress:
        result = import_run(
            folder, out, data=data, size=size, grey=grey, format=format_, progress=progress
        )
    real = shlex.quote(values["data__data"] or "DATA")
    ask = f"augmentor gain --data {real} --synthetic {shlex.quote(str(out))}"
    print_result(result, as_json, lambda: as_lines(jsonable(result)), [ask])


@cli.command(cls=JobCommand, short_help="Measure what synthetic images add to a classifier.")
@config_or_run_argument
@data_options
@condition_option
@source_options
@source_size_option
@classifier_options
@key("--train", "classifier.train", type=click.Choice(["all", "head"]))
@key("--views", "classifier.views", type=int, metavar="N")
@key(
    "--synthetic",
    "gain.synthetic",
    multiple=True,
    metavar="PATH",
    type=click.Path(file_okay=False),
    callback=lambda c, o, v: v or None,
)
@key("--arms", "gain.arms", metavar="A,B", callback=split_commas)
@key("--metric", "gain.metric", metavar="NAME")
@key("--metrics", "gain.metrics", metavar="A,B", callback=split_commas)
@key("--replicates", "gain.replicates", type=int, metavar="N")
@processes_key("gain.processes")
@engine_options
@key("--screening", "gain.screening", is_flag=True, flag_value=True)
@key("--rehearse", "gain.rehearse", is_flag=True, flag_value=True)
@budget_option
@dry_run
@run_options
def gain(
    config: Path | None, budget: float | None, dry_run: bool, as_json: bool, **values: Any
) -> None:
    """Measure what synthetic images add to a classifier: arms, paired replicates, intervals,
    advice.

    CONFIG is a file, or the folder of a run: then its parts are read again, which answers for
    another --metric without training.
    """
    settings, out = settings_and_folder(config, values, suffix="-gain")
    from pipelines.gain.run import gain_run
    from pipelines.progress import show

    cut = dict[str, str]()
    if budget is not None:
        from pipelines.gain.budget import within_budget

        note(TIMING)
        settings, words, cut = within_budget(settings, out, budget)
        click.echo(words, err=True)
    if dry_run:
        return print_gain_plan(settings, out, as_json)
    with show() as progress:
        result = gain_run(settings, out, progress=progress, cut=cut)
    print_result(result, as_json, lambda: gain_text(result, out), [opening(out)])


@cli.command(cls=JobCommand, short_help="List the finished parts of a run, and what each is of.")
@run_argument
@as_json
@verbose
def parts(run: Path, as_json: bool) -> None:
    """List the parts of RUN, a folder of gain, semi, compare or verify: finished, missing, damaged,
    or of another plan, and what differs.
    """
    from pipelines.cli.plans import rows_of_run

    rows = rows_of_run(run)
    print_result({"parts": rows}, as_json, lambda: parts_text(rows))


@cli.command(cls=JobCommand, short_help="Write the report of a finished run anew, and open it.")
@run_argument
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@as_json
@verbose
def report(run: Path, open_: bool, as_json: bool) -> None:
    """Write report.html of RUN anew, a folder of gain, semi, compare, verify or evaluate.

    Results and pictures are read from the folder; nothing is trained or scored.
    """
    from pipelines.cli.reports import report_of_run

    page = report_of_run(run)
    print_result({"report": page}, as_json, lambda: str(page))
    if open_:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


@cli.command(cls=JobCommand, short_help="Many gain results on one page, or a page of each run.")
@click.argument(
    "results",
    metavar="RESULT...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to; --pages writes into RESULT.",
)
@click.option(
    "--pages",
    is_flag=True,
    help="Write a page.md for every run below the folder RESULT, their index and summary/.",
)
@as_json
@verbose
def summary(results: tuple[Path, ...], out: Path | None, pages: bool, as_json: bool) -> None:
    """Put each RESULT, a file or folder of gain or verify, into one summary: tables, forest plot,
    page.
    """
    if pages:
        return write_pages(results, out, as_json)
    if out is None:
        raise click.UsageError("give --out, the folder to write to", click.get_current_context())
    from pipelines.report.terminal import fold
    from pipelines.summary.run import summary_run
    from pipelines.summary.tables import as_text

    result = summary_run(results, out)

    def text() -> str:
        said = "\n".join(fold(result["verdict"], subsequent_indent=""))
        return f"{as_text(result)}\n\n{said}\n\n{out / 'summary.html'}  {out / 'gain.md'}"

    print_result(result, as_json, text)


def write_pages(results: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """What ``summary --pages`` does, with one folder of published runs."""
    if out is not None or len(results) > 1:
        raise click.UsageError(
            "--pages takes one folder of runs and no --out: pages lie beside their results",
            click.get_current_context(),
        )
    from pipelines.summary.pages import pages_run

    written = pages_run(results[0])
    print_result({"pages": written}, as_json, lambda: f"{len(written)} pages in {results[0]}")


@cli.command(cls=JobCommand, short_help="Measure methods for few labels and many images.")
@config_or_run_argument
@data_option
@form_options
@key("--unlabelled", "data.unlabelled", metavar="PATH")
@key("--max-pool", "data.max_pool", type=int, metavar="N")
@key("--steps", "source.steps", type=int, metavar="N")
@classifier_options
@key("--labels", "semi.labels", metavar="N,N", callback=split_numbers)
@key("--subsets", "semi.subsets", type=int, metavar="N")
@key("--methods", "semi.methods", metavar="A,B", callback=split_commas)
@key("--baseline-labels", "semi.baseline_labels", metavar="N,N", callback=split_numbers)
@key("--baseline-subsets", "semi.baseline_subsets", type=int, metavar="N")
@key("--gan-steps", "semi.gan_steps", type=int, metavar="N")
@processes_key("semi.processes")
@engine_options
@key("--screening", "semi.screening", is_flag=True, flag_value=True)
@dry_run
@run_options
def semi(config: Path | None, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Measure semi-supervised methods: the same few labels for all, the other training images
    without labels.
    """
    settings, out = settings_and_folder(config, values, suffix="-semi")
    if dry_run:
        return print_semi_plan(settings, out, as_json)
    from pipelines.progress import show
    from pipelines.semi.run import semi_run

    with show() as progress:
        result = semi_run(settings, out, progress=progress)
    print_result(result, as_json, lambda: semi_text(result, out), [opening(out)])


@cli.command(
    cls=JobCommand, short_help="Train families with one budget; measure them with one judge."
)
@config_or_run_argument
@data_options
@key("--families", "compare.families", metavar="A,B", callback=split_commas)
@key("--steps", "source.steps", type=int, metavar="N")
@key("--batch-size", "source.batch_size", type=int, metavar="N")
@key("--source-augment", "source.source_augment", type=click.Choice(["none", "classical"]))
@key("--samples", "compare.samples", type=int, metavar="N")
@key("--judge-steps", "compare.judge_steps", type=int, metavar="N")
@key("--student-steps", "compare.student_steps", type=int, metavar="N")
@processes_key("compare.processes")
@engine_options
@dry_run
@run_options
def compare(config: Path | None, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Train families of generators on one data set with one budget, and measure all of them with
    one judge.

    Running it again resumes where it was cut off. Options of single families, and finished runs to
    measure beside them, are given in the section compare of the file CONFIG.
    """
    settings, out = settings_and_folder(config, values, suffix="-compare")
    if dry_run:
        return print_compare_plan(settings, out, as_json)
    from pipelines.compare.run import compare_run
    from pipelines.progress import show

    with show() as progress:
        result = compare_run(settings, out, progress=progress)
    print_result(result, as_json, lambda: compare_text(result, out), [opening(out)])


@cli.command(cls=JobCommand, short_help="Measure what synthetic faces add to telling people apart.")
@config_or_run_argument
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
@key("--train-folds", "verify.train_folds", metavar="N,N", callback=split_numbers)
@key("--head", "verify.head", type=click.Choice(["softmax", "arcface", "cosface"]))
@key("--weights", "verify.weights", type=click.Path(exists=True, dir_okay=False))
@key("--replicates", "verify.replicates", type=int, metavar="N")
@processes_key("verify.processes")
@engine_options
@key("--classifier", "classifier.name", metavar="NAME")
@key("--classifier-steps", "classifier.steps", type=int, metavar="N")
@dry_run
@run_options
def verify(config: Path | None, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Train a network to tell people, and score pairs of people it has not seen by the cosine of
    its features.

    By the file CONFIG, or on --data; every --synthetic set is an arm beside no extra data, with
    equal steps, and so are the real people of --train-folds, a control.
    """
    settings, out = settings_and_folder(config, values, suffix="-verify")
    if dry_run:
        return print_verify_plan(settings, out, as_json)
    from pipelines.progress import show
    from pipelines.verify.run import verify_run

    with show() as progress:
        result = verify_run(settings, out, progress=progress)
    print_result(result, as_json, lambda: verify_text(result, out), [opening(out)])


@cli.command(cls=JobCommand, short_help="Judge the images of a trained generator.")
@run_argument
@number("--samples", 10000, "Images to generate.", least=2)
@number("--seed", 0, "Seed of judge and samples.", least=0)
@device_option
@out_option
@as_json
@verbose
def evaluate(run: Path, out: Path | None, as_json: bool, **values: Any) -> None:
    """Judge the images of the trained RUN: correctness, fidelity, coverage, usefulness,
    memorisation.

    Default of --out: RUN.
    """
    from pipelines.evaluate.run import evaluate_run
    from pipelines.progress import show

    with show() as progress:
        result = evaluate_run(run, out, progress=progress, **values)
    print_result(result, as_json, lambda: evaluate_text(result, out or run), [opening(out or run)])


cli.add_command(edit)
