"""The commands ``edit …``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from pipelines.cli.options import (
    JobCommand,
    JobGroup,
    as_json,
    device_option,
    format_option,
    number,
    out_option,
    run_argument,
    split_commas,
    split_each,
    split_numbers,
    together,
    verbose,
)
from pipelines.cli.output import as_lines, jsonable, print_edit, print_result


@click.group(cls=JobGroup, short_help="Reconstruct, morph, transfer, mix, inpaint, frontalize.")
def edit() -> None:
    """Edit image files with a trained generator.

    Every command but mix-identities needs a family with an encoder. Reconstruct, morph, transfer
    and inpaint need the class of every image: --label, or the name of the folder that the file lies
    in. Images are cut and resized as training images are.
    """


label_option = click.option(
    "--label", metavar="CLASS", help="Class of the files; default: the name of their folder."
)
condition_option = click.option(
    "--condition",
    metavar="VALUE",
    help="Of a RUN with conditions, that of the files: a name, or numbers joined by commas.",
)
edit_out = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to.  [default: RUN/edits]",
)
file_type = click.Path(path_type=Path, dir_okay=False)
files_argument = click.argument("files", nargs=-1, required=True, type=file_type)
edit_options = together(label_option, condition_option, device_option, edit_out, as_json, verbose)


@edit.command(cls=JobCommand, short_help="Encode images and render them again.")
@run_argument
@files_argument
@edit_options
def reconstruct(
    run: Path, files: tuple[Path, ...], out: Path | None, as_json: bool, **values: Any
) -> None:
    """Encode the FILES by the trained RUN and render them again, side by side in
    reconstruct.png.
    """
    from pipelines.edit.files import reconstruct_files

    print_edit(reconstruct_files(run, files, out or run / "edits", **values), as_json)


@edit.command(cls=JobCommand, short_help="Walk from one image to another of its class.")
@run_argument
@click.argument("first", type=file_type)
@click.argument("last", type=file_type)
@number("--steps", 8, "Images, both ends included.", least=2)
@click.option(
    "--condition-to", metavar="VALUE", help="Condition at the end.  [default: that of the files]"
)
@click.option("--gif", is_flag=True, help="An animation, morph.gif, instead of a row of pictures.")
@edit_options
def morph(
    run: Path,
    first: Path,
    last: Path,
    label: str | None,
    out: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Walk from the image FIRST to the image LAST of the same class, with the label held.

    With one image as both and --condition-to the walk goes through the conditions alone.
    """
    from pipelines.edit.files import morph_files

    print_edit(morph_files(run, first, last, out or run / "edits", label=label, **values), as_json)


@edit.command(cls=JobCommand, short_help="Attributes of images under the labels of other classes.")
@run_argument
@files_argument
@click.option(
    "--to",
    metavar="A,B",
    callback=split_commas,
    help="Classes to render.  [default: all; with --condition-to the own]",
)
@click.option(
    "--condition-to",
    metavar="VALUE",
    multiple=True,
    help="Condition to render, written as --condition. Repeats.",
)
@edit_options
def transfer(
    run: Path, files: tuple[Path, ...], out: Path | None, as_json: bool, **values: Any
) -> None:
    """Render the attributes of the FILES (stroke, pose, light) as other classes, or the FILES
    themselves under other conditions.
    """
    from pipelines.edit.files import transfer_files

    print_edit(transfer_files(run, files, out or run / "edits", **values), as_json)


@edit.command(cls=JobCommand, short_help="New classes from blended labels, as a synthetic set.")
@run_argument
@click.option(
    "--mix",
    "mixes",
    metavar="A,B,…",
    multiple=True,
    callback=split_each,
    help="Blend these in equal parts. Repeats.",
)
@number("--new", 0, "N new classes, blended at random.", least=0)
@number("--of", 3, "Classes in each of those.", least=2)
@click.option(
    "--weight",
    type=float,
    metavar="W",
    help="Weight of every blended class; those of a new class sum to 2 at most.  [default: "
    "parts that sum to one]",
)
@number("--per-class", 10, "Images per new class.")
@number("--seed", 0, "Seed of mixtures and images.", least=0)
@device_option
@format_option
@out_option
@as_json
@verbose
def mix_identities(
    run: Path, out: Path | None, format_: Literal["folder", "shards"], as_json: bool, **values: Any
) -> None:
    """Blend labels of the trained RUN into new classes and write a synthetic set of them, as synth
    does.

    Works with every family. Default of --out: RUN/mixed.
    """
    context = click.get_current_context()
    if context.get_parameter_source("of") is ParameterSource.COMMANDLINE and not values["new"]:
        raise click.UsageError("--of has no effect without --new", context)
    from pipelines.edit.mix_identities import mix_identities_run
    from pipelines.progress import show

    with show() as progress:
        result = mix_identities_run(
            run, out or run / "mixed", format=format_, progress=progress, **values
        )
    print_result(result, as_json, lambda: as_lines(jsonable(result)))


@edit.command(cls=JobCommand, name="inpaint", short_help="Fill a hole in images.")
@run_argument
@files_argument
@click.option("--mask", type=file_type, help="An image, white in the hole and black elsewhere.")
@click.option(
    "--box",
    metavar="L,T,W,H",
    callback=split_numbers,
    help="The hole: left, top, width, height in the RUN's pixels.",
)
@click.option(
    "--rounds",
    type=click.IntRange(0, 100),
    metavar="N",
    default=10,
    show_default=True,
    help="Times it is filled.",
)
@edit_options
def inpaint(
    run: Path,
    files: tuple[Path, ...],
    label: str | None,
    out: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Fill a hole in the FILES, round after round; inpaint.png shows every round."""
    if values["box"] is not None and len(values["box"]) != 4:
        raise click.UsageError(
            "--box takes four numbers: left,top,width,height", click.get_current_context()
        )
    from pipelines.edit.files import inpaint_files

    print_edit(inpaint_files(run, files, out or run / "edits", label=label, **values), as_json)


@edit.command(cls=JobCommand, name="frontalize", short_help="People in the pose of another photo.")
@run_argument
@files_argument
@click.option(
    "--attributes",
    required=True,
    type=file_type,
    help="The photo to take pose, light, background from.",
)
@device_option
@edit_out
@as_json
@verbose
def frontalize(
    run: Path,
    files: tuple[Path, ...],
    attributes: Path,
    device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Show the people in the FILES, known to the RUN or not, as a chosen photo shows its own.

    Needs a run of the family ip_gan; give --attributes a face seen from the front to turn faces to
    it.
    """
    from pipelines.edit.files import frontalize_files

    print_edit(
        frontalize_files(run, files, attributes, out or run / "edits", device=device), as_json
    )


@edit.command(cls=JobCommand, short_help="Whom renders of unknown people show, by a judge.")
@run_argument
@click.option(
    "--pairs",
    required=True,
    metavar="PATH",
    help="Folder with pairs.csv and photos of other people.",
)
@click.option(
    "--train-folds",
    metavar="N,N",
    callback=split_numbers,
    help="Folds whose people the judge learns from too.",
)
@number("--judge-steps", 1500, "Training steps of the judge.")
@number("--seed", 0, "Seed of the judge.", least=0)
@device_option
@out_option
@as_json
@verbose
def identity_quality(
    run: Path,
    pairs: str,
    train_folds: tuple[int, ...] | None,
    out: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Render people the RUN, an IP-GAN, has never seen; a verification network says whom it sees.

    The network is trained here, on the photos the RUN was trained on. Default of --out: RUN.
    """
    from pipelines.edit.identity_quality import as_markdown, identity_quality_run

    result = identity_quality_run(run, pairs, out or run, train_folds=train_folds or (), **values)
    print_result(result, as_json, lambda: as_markdown(result))
