"""What editing is worth, measured on test images: inpainting round by round, and the labels of
transferred images.

``python -m pipelines.edit.quality RUN OUT.json`` trains a judge on the run's training part (600
steps) and writes the numbers beside the command, seeds and versions, with a page to read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augmentor.common.atomic_files import write_json, write_text
from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError, EncodingSource, LabelledImages, Predict, device_of
from augmentor.editing.inpaint import box_mask, inpaint
from augmentor.editing.transfer import transfer
from augmentor.quality.hole import psnr_inside, ssim_inside
from downstream.evaluate import predict_logits
from downstream.metrics import METRICS, POINTS, Outputs, per_class_recall
from downstream.train import TrainSettings, balanced_weights
from downstream.trainer import ClassifierTrainer
from pipelines.datasets import DataBundle, load_data
from pipelines.device import use_threads
from pipelines.edit.files import encoding_source
from pipelines.experiment.provenance import provenance
from pipelines.generators.compared import Section, equal_shares, first_of_each
from pipelines.generators.load import LoadedRun, load_source, published_name, require_images_of

ROUNDS = (0, 1, 5, 10)
JUDGE_STEPS = 600
Box = tuple[int, int, int, int]


def edit_quality_run(
    run: Path, out: Path, *, images: int = 200, seed: int = 0, device: str | None = None
) -> Section:
    """Measure the editing of a run on its test images and write ``out`` and the same as a page
    beside it.

    Args:
        run: Folder of the run, of a family with an encoder.
        out: The JSON file; the page has the suffix ``.md``.
        images: Number of test images, the first of every class in equal shares.
        seed: Seed of the judge.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.

    Returns:
        What stands in ``out``.

    Raises:
        ConfigError: If the source has no encoder, or the device isn't here.
        DataError: If the run is missing, or the data no longer fit it.
    """
    began, loaded = time.monotonic(), load_source(run, device)
    source = encoding_source(run, "editing", device)
    use_threads(loaded.config.threads)
    bundle = _data_of(loaded, run)
    judge_seed = seed_for("judge", seed)
    predict = trained_judge(bundle.train, loaded.trainer(), judge_seed)
    trained = time.monotonic()
    shares = equal_shares(images, len(source.classes))
    test = bundle.test.subset(first_of_each(bundle.test.y, shares))
    measured = edit_quality(source, test, predict)
    seconds = {"judge": trained - began, "editing": time.monotonic() - trained}
    top1 = _share_right(predict(bundle.test.x), bundle.test.y)
    judge = {"steps": JUDGE_STEPS, "seed": judge_seed, "top1_real_test": top1}
    facts = _facts(loaded, bundle) | {"seed": seed, "judge": judge}
    command = f"python -m pipelines.edit.quality {published_name(run)} {out} --images {images}"
    origin = provenance(seconds, str(device_of(source)), command=command)
    result = {"schema": 1} | facts | measured | origin
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, result)
    write_text(out.with_suffix(".md"), as_markdown(result))
    return result


def _data_of(loaded: LoadedRun, run: Path) -> DataBundle:
    bundle, source = load_data(loaded.config.data, loaded.config.seed), loaded.source
    if bundle.test.classes != source.classes or bundle.test.image_shape != source.image_shape:
        raise DataError(f"{bundle.name}: the source of {run} was trained on other data than these")
    require_images_of(loaded, bundle)
    return bundle


def _facts(loaded: LoadedRun, bundle: DataBundle) -> Section:
    return {
        "dataset": bundle.name,
        "family": loaded.config.source.family,
        "step": loaded.step,
        "checkpoint_sha256": loaded.checkpoint_sha256,
    }


def edit_quality(
    source: EncodingSource, test: LabelledImages, predict: Predict, rounds: Sequence[int] = ROUNDS
) -> Section:
    """Measure inpainting and transfer on images the source has not seen.

    Args:
        source: A source with an encoder.
        test: Images with labels, in the source's classes.
        predict: The judge.
        rounds: After which rounds of inpainting to look; ascending.

    Returns:
        ``images``; ``inpaint``: for every hole ``box`` and a list of ``{"rounds", "psnr", "ssim",
        "top1"}``, means over images, and ``last_beats_first_filled``, the share of images with a
        higher PSNR after the last round than after the first; ``transfer``: ``top1``, the share of
        results with the asked label by the judge, of every image to every other class, and
        ``top1_of_class`` by asked class.
    """
    holes = {}
    for name, box in hole_boxes(test.image_shape[-1]).items():
        holes[name] = _inpainting(source, test, predict, box, rounds)
    return {"images": len(test), "inpaint": holes, "transfer": _transfer(source, test, predict)}


def hole_boxes(side: int) -> dict[str, Box]:
    """The holes measured, as (left, top, width, height): half the side in the centre, and two
    halves of the image.
    """
    half, quarter = side // 2, side // 4
    return {
        "centre": (quarter, quarter, half, half),
        "right half": (half, 0, side - half, side),
        "lower half": (0, half, side, side - half),
    }


def trained_judge(train: LabelledImages, trainer: ClassifierTrainer, seed: int) -> Predict:
    """A classifier trained on real images with classical augmentation, every class drawn equally
    often.

    Args:
        train: The real images.
        trainer: Its network, augmentation and device; the settings are always the default ones.
        seed: Decides first weights, order and augmentation.

    Returns:
        Images to logits (N, K), on the CPU.
    """
    draw_weights = balanced_weights(train.y, len(train.classes))
    judge = replace(trainer, settings=TrainSettings(JUDGE_STEPS)).train(
        train, seed, draw_weights=draw_weights, augment=("classical",)
    )
    return lambda x: predict_logits(judge, x.cpu())


def as_markdown(result: Mapping[str, Any]) -> str:
    """The numbers as a page to read."""
    judge = result["judge"]
    lines = [
        f"# Editing: {result['dataset']}, {result['family']} at step {result['step']}\n",
        f"{result['images']} test images, the first of every class. The judge ({judge['steps']} "
        "steps on real training images) "
        f"recognises {POINTS.shown(judge['top1_real_test'])} of all real test images.\n",
        "## Inpainting: inside the hole\n",
        *_inpainting_lines(result["inpaint"]),
        "## Transfer\n",
        _transfer_line(result["transfer"]),
        "## Made by\n",
        *_origin_lines(result),
    ]
    return "\n".join(lines)


def _inpainting_lines(holes: Mapping[str, Section]) -> list[str]:
    lines = [
        "Round 0 is the hole filled with the mean of the visible pixels. The class is given.\n",
        "| hole | rounds | PSNR, dB | SSIM | judge finds the class % |\n|---|---:|---:|---:|---:|",
    ]
    better = []
    for name, hole in holes.items():
        better.append(f"{100 * hole['last_beats_first_filled']:.0f} % ({name})")
        for row in hole["after"]:
            measured = f"{row['psnr']:.2f} | {row['ssim']:.3f} | {100 * row['top1']:.1f}"
            lines.append(f"| {name} | {row['rounds']} | {measured} |")
    shares = ", ".join(better)
    return [*lines, f"\nThe last round has a higher PSNR than round 1 in {shares} of the images.\n"]


def _transfer_line(found: Section) -> str:
    worst, share = min(found["top1_of_class"].items(), key=lambda item: item[1])
    return (
        f"Every image rendered as every other class, {found['images']} in all: the judge finds the "
        f"asked class in {POINTS.shown(found['top1'])}; least often for {worst} "
        f"({POINTS.shown(share)}).\n"
    )


def _origin_lines(result: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(map(" ".join, result["versions"].items()))
    checkpoint = result["checkpoint_sha256"][:12]
    return [
        f"`{result['command']}`\n",
        f"Checkpoint {checkpoint}, seed {result['seed']}; {result['device']}; {versions}.\n",
    ]


def _inpainting(
    source: EncodingSource,
    test: LabelledImages,
    predict: Predict,
    box: Box,
    rounds: Sequence[int],
) -> Section:
    mask, device = box_mask(test.image_shape[-1], *box), device_of(source)
    filled = inpaint(source, test.x.to(device), test.y.to(device), mask, rounds[-1]).cpu()
    after, psnr_of_round = [], {}
    for number in rounds:
        psnr = psnr_of_round[number] = psnr_inside(filled[number], test.x, mask)
        row = {"rounds": number, "psnr": float(psnr.mean())}
        row["ssim"] = float(ssim_inside(filled[number], test.x, mask).mean())
        row["top1"] = _share_right(predict(filled[number]), test.y)
        after.append(row)
    first = next(number for number in rounds if number > 0)
    better = (psnr_of_round[rounds[-1]] > psnr_of_round[first]).double().mean()
    return {"box": list(box), "after": after, "last_beats_first_filled": float(better)}


def _transfer(source: EncodingSource, test: LabelledImages, predict: Predict) -> Section:
    """Every image as every class but its own."""
    k, device = len(source.classes), device_of(source)
    asked = torch.stack([(test.y + shift) % k for shift in range(1, k)], dim=1).flatten()
    x = test.x.repeat_interleave(k - 1, dim=0).to(device)
    y = test.y.repeat_interleave(k - 1, dim=0).to(device)
    logits = predict(transfer(source, x, y, asked.to(device)).cpu())
    recalls = per_class_recall(Outputs(y=asked, class_probs=logits.softmax(dim=1))).tolist()
    return {
        "images": len(asked),
        "top1": _share_right(logits, asked),
        "top1_of_class": dict(zip(source.classes, recalls, strict=True)),
    }


def _share_right(logits: Tensor, y: Tensor) -> float:
    return METRICS["accuracy"].of(Outputs(y=y, class_probs=logits.softmax(dim=1)))


def main(arguments: Sequence[str]) -> None:
    """The command: ``RUN OUT.json [--images N] [--seed N] [--device DEVICE]``."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m pipelines.edit.quality", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    given = parser.parse_args(arguments)
    edit_quality_run(
        given.run, given.out, images=given.images, seed=given.seed, device=given.device
    )


if __name__ == "__main__":
    main(sys.argv[1:])
