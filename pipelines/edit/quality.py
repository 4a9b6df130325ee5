"""What editing is worth, measured on test images: inpainting round by round, and the labels of
transferred images.

``python -m pipelines.edit.quality RUN OUT.json`` trains a judge on the run's training part (600
steps) and writes the numbers beside the command, seeds and versions, with a page to read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augmentor.common.atomic_files import write_json, write_text
from augmentor.common.types import DataError, EncodingSource, LabelledImages, Predict, device_of
from augmentor.editing.inpaint import box_mask, inpaint
from augmentor.editing.transfer import transfer
from augmentor.quality.hole import psnr_inside, ssim_inside
from downstream.classifier import build_classifier
from downstream.evaluate import accuracy, predict_logits
from downstream.train import TrainSettings, balanced_weights, train_classifier
from pipelines.augmentation import classical_of
from pipelines.config import Config
from pipelines.datasets import load_data
from pipelines.device import use_threads
from pipelines.edit.files import encoding_source
from pipelines.results import provenance
from pipelines.generators.quality import derived_seed, equal_shares, first_of_each
from pipelines.generators.train import load_source

Section = dict[str, Any]
ROUNDS = (0, 1, 5, 10)
JUDGE_STEPS = 600


def edit_quality_run(
    run: Path, out: Path, *, images: int = 200, seed: int = 0, device: str | None = None
) -> Section:
    """Measure the editing of a run on its test images and write ``out`` and the same as a page
    beside it.

    Args:
        run: Folder of the run, of a family with an encoder.
        out: The JSON file; the page has the suffix ``.md``.
        images: Test images, the first of every class in equal shares.
        seed: Seed of the judge.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.

    Returns:
        What stands in ``out``.

    Raises:
        ConfigError: If the source has no encoder, or the device isn't here.
        DataError: If there is no run, or the data no longer fit it.
    """
    began, loaded, source = (
        time.monotonic(),
        load_source(run, device),
        encoding_source(run, "editing", device),
    )
    use_threads(loaded.config)
    bundle = load_data(loaded.config.data, loaded.config.seed)
    if bundle.test.classes != source.classes or bundle.test.image_shape != source.image_shape:
        raise DataError(
            f"{bundle.name}: the data are no longer those the source of {run} was trained on"
        )
    predict = trained_judge(bundle.train, loaded.config, derived_seed(seed, "judge"))
    trained = time.monotonic()
    shares = equal_shares(images, len(source.classes))
    test = bundle.test.subset(first_of_each(bundle.test.y, shares))
    measured = edit_quality(source, test, predict)
    judge: Section = {"steps": JUDGE_STEPS, "seed": derived_seed(seed, "judge")}
    judge["top1_real_test"] = accuracy(predict(bundle.test.x).argmax(dim=1), bundle.test.y)
    facts = {"dataset": bundle.name, "family": loaded.config.source.family, "step": loaded.step}
    facts |= {"checkpoint_sha256": loaded.checkpoint_sha256, "seed": seed, "judge": judge}
    seconds = {"judge": trained - began, "editing": time.monotonic() - trained}
    shown_run = run.name if run.is_absolute() else run
    command = f"python -m pipelines.edit.quality {shown_run} {out} --images {images}"
    result = (
        {"schema": 1}
        | facts
        | measured
        | provenance(seconds, str(device_of(source)), command=command)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, result)
    write_text(out.with_suffix(".md"), as_markdown(result))
    return result


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
    side = test.image_shape[-1]
    holes = {
        name: _inpainting(source, test, predict, box, rounds)
        for name, box in hole_boxes(side).items()
    }
    return {"images": len(test), "inpaint": holes, "transfer": _transfer(source, test, predict)}


def hole_boxes(side: int) -> dict[str, tuple[int, int, int, int]]:
    """The holes measured, as (left, top, width, height): half the side in the centre, and two
    halves of the image.
    """
    half, quarter = side // 2, side // 4
    return {
        "centre": (quarter, quarter, half, half),
        "right half": (half, 0, side - half, side),
        "lower half": (0, half, side, side - half),
    }


def trained_judge(train: LabelledImages, config: Config, seed: int) -> Predict:
    """A downstream classifier trained on real images with classical augmentation, every class drawn
    equally often.
    """
    judge = build_classifier(
        config.classifier.name, len(train.classes), train.image_shape, seed=seed
    )
    weights = balanced_weights(train.y, len(train.classes))
    augment = classical_of(config)
    train_classifier(
        judge,
        train.x,
        train.y,
        TrainSettings(JUDGE_STEPS),
        seed=seed,
        draw_weights=weights,
        augment=augment,
    )

    def predict(x: Tensor) -> Tensor:
        return predict_logits(judge, x.cpu())

    return predict


def as_markdown(result: Mapping[str, Any]) -> str:
    """The numbers as a page to read."""
    judge, versions = result["judge"], ", ".join(f"{n} {v}" for n, v in result["versions"].items())
    lines = [
        f"# Editing: {result['dataset']}, {result['family']} at step {result['step']}\n",
        f"{result['images']} test images, the first of every class. The judge ({judge['steps']} "
        "steps on real training "
        f"images) recognises {judge['top1_real_test']:.2%} of all real test images.\n",
        "## Inpainting: inside the hole\n",
        "Round 0 is the hole filled with the mean of the visible pixels. The class is given.\n",
        "| hole | rounds | PSNR, dB | SSIM | judge finds the class % |\n|---|---:|---:|---:|---:|",
    ]
    for name, hole in result["inpaint"].items():
        lines += [
            f"| {name} | {row['rounds']} | {row['psnr']:.2f} | {row['ssim']:.3f} | "
            f"{100 * row['top1']:.1f} |"
            for row in hole["after"]
        ]
    better = ", ".join(
        f"{hole['last_beats_first_filled']:.0%} ({name})"
        for name, hole in result["inpaint"].items()
    )
    transferred = result["transfer"]
    worst = min(transferred["top1_of_class"].items(), key=lambda item: item[1])
    return "\n".join(
        [
            *lines,
            f"\nThe last round has a higher PSNR than round 1 in {better} of the images.\n",
            "## Transfer\n",
            f"Every image rendered as every other class, {transferred['images']} in all: the "
            "judge finds the asked "
            f"class in {transferred['top1']:.2%}; least often for {worst[0]} ({worst[1]:.1%}).\n",
            "## Made by\n",
            f"`{result['command']}`\n",
            f"Checkpoint {result['checkpoint_sha256'][:12]}, seed {result['seed']}; "
            f"{result['device']}; {versions}.\n",
        ]
    )


def _inpainting(
    source: EncodingSource,
    test: LabelledImages,
    predict: Predict,
    box: tuple[int, int, int, int],
    rounds: Sequence[int],
) -> Section:
    mask, device = box_mask(test.image_shape[-1], *box), device_of(source)
    filled = inpaint(source, test.x.to(device), test.y.to(device), mask, rounds[-1]).cpu()
    psnr = {r: psnr_inside(filled[r], test.x, mask) for r in rounds}
    after = [
        {
            "rounds": r,
            "psnr": float(psnr[r].mean()),
            "ssim": float(ssim_inside(filled[r], test.x, mask).mean()),
            "top1": accuracy(predict(filled[r]).argmax(dim=1), test.y),
        }
        for r in rounds
    ]
    first = min(r for r in rounds if r > 0)
    better = (psnr[rounds[-1]] > psnr[first]).double().mean()
    return {"box": list(box), "after": after, "last_beats_first_filled": float(better)}


def _transfer(source: EncodingSource, test: LabelledImages, predict: Predict) -> Section:
    """Every image as every class but its own."""
    k, device = len(source.classes), device_of(source)
    asked = torch.stack([(test.y + shift) % k for shift in range(1, k)], dim=1).flatten()
    x, y = (part.repeat_interleave(k - 1, dim=0).to(device) for part in (test.x, test.y))
    found = predict(transfer(source, x, y, asked.to(device)).cpu()).argmax(dim=1)
    of_class = {
        name: accuracy(found[asked == c], asked[asked == c])
        for c, name in enumerate(source.classes)
    }
    return {"images": len(asked), "top1": accuracy(found, asked), "top1_of_class": of_class}


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
