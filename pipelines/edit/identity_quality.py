"""What an IP-GAN's renders are worth for people it has never seen, by a network that tells people
by their faces.

The network is trained here, on the photos the source was trained on, so that one command does all;
it is another one than the source's own identity encoder. More people to learn from make it a better
judge: see ``train_folds``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from augmentor.common.atomic_files import write_bytes, write_json, write_text
from augmentor.common.types import DataError, IdentitySource, LabelledImages, device_of
from downstream.classifier import features
from downstream.verification import far_threshold, measure_verification, pair_scores, share_interval
from pipelines.config import Config, data_root
from pipelines.datasets import load_data
from pipelines.device import use_threads
from pipelines.edit.files import identity_source
from pipelines.interrupt import watch_signals
from pipelines.report.pictures import png_bytes, sample_grid
from pipelines.results import provenance
from pipelines.generators.quality import derived_seed
from pipelines.generators.train import LoadedRun, load_source
from pipelines.verify.pairs import VerificationPairs, find_pairs, read_pairs
from pipelines.verify.run import score_pairs, split_pairs, train_verifier

Section = dict[str, Any]
FAR = 1e-2
BATCH = 64
SHOWN = 10
ROWS = {
    "rendered": "render of two photos",
    "real": "a real photo in its place",
    "own": "render of one photo by itself",
}


@dataclass(frozen=True)
class Cases:
    """Photos to render from; numbers of images, int64 (N,).

    Args:
        identity: Who is to be seen.
        attributes: A photo of another person of the same fold: how.
        other: Another photo of the person of ``identity``.
        folds: Fold of all three.
    """

    identity: Tensor
    attributes: Tensor
    other: Tensor
    folds: Tensor


def identity_quality_run(
    run: Path,
    pairs: str,
    out: Path,
    *,
    train_folds: Sequence[int] = (),
    judge_steps: int = 1500,
    seed: int = 0,
    device: str | None = None,
    command: str | None = None,
) -> Section:
    """Render people a source has never seen, and ask a verification network whom it sees.

    Args:
        run: Folder of the run, of an IP-GAN.
        pairs: Folder of pairs of other people, see ``pairs.read_pairs``; also looked for under the
            run's data root.
        out: Folder for ``identity_quality.json``, ``.md``, ``.png`` (with photos) and
            ``identity_quality_renders.png`` (without).
        train_folds: Folds of the pairs whose people the network, not the source, learns from too.
        judge_steps: Its training steps.
        seed: Its seed.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.
        command: Command line to record; this process's command line unless given.

    Returns:
        What stands in ``identity_quality.json``.

    Raises:
        ConfigError: If the source takes no identity from an image, too few folds are left, or the
            device isn't here.
        DataError: If there is no run, data or pairs cannot be used, or the source has seen people
            in the pairs.
    """
    began = time.monotonic()
    loaded, source, learned, scored = _opened(run, pairs, train_folds, device)
    cases, judge_seed = cases_of(scored), derived_seed(seed, "judge")
    with watch_signals() as watch:
        judge = train_verifier(
            learned, None, judge_config(loaded.config, judge_steps), judge_seed, watch
        )
    trained = time.monotonic()
    rendered = render(source, scored.x, cases.identity, cases.attributes)
    own = render(source, scored.x, cases.identity, cases.identity)
    measured = identity_quality(judge, scored, cases, rendered, own)
    measured["judge"] = judge_facts(judge, scored, learned) | {
        "steps": judge_steps,
        "seed": judge_seed,
    }
    measured["judge"] |= {"train_folds": list(train_folds)}
    seconds = {"judge": trained - began, "rendering": time.monotonic() - trained}
    result = {"schema": 1, "seed": seed} | _facts(loaded, scored) | measured
    result |= provenance(seconds, str(device_of(source)), command=command)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "identity_quality.json", result)
    write_text(out / "identity_quality.md", as_markdown(result))
    write_bytes(out / "identity_quality.png", png_bytes(picture(scored.x, cases, rendered, own)))
    write_bytes(
        out / "identity_quality_renders.png", png_bytes(picture_of_renders(source, scored.x, cases))
    )
    return result


def _opened(
    run: Path, pairs: str, train_folds: Sequence[int], device: str | None
) -> tuple[LoadedRun, IdentitySource, LabelledImages, VerificationPairs]:
    """The run, its source, what the judge learns from, and the pairs that neither has seen."""
    loaded, source = load_source(run, device), identity_source(run, "identity-quality", device)
    use_threads(loaded.config)
    bundle = load_data(loaded.config.data, loaded.config.seed)
    if bundle.train.classes != source.classes or bundle.train.image_shape != source.image_shape:
        raise DataError(
            f"{bundle.name}: the data are no longer those the source of {run} was trained on"
        )
    everyone = read_pairs(find_pairs(pairs, data_root(loaded.config.data)), source.image_shape)
    everyone.refuse_known(source.classes, loaded.trained_on, f"the source of {run}")
    return loaded, source, *split_pairs(bundle.train, everyone, train_folds)


def _facts(loaded: LoadedRun, scored: VerificationPairs) -> Section:
    return {
        "dataset": loaded.config.data.data,
        "family": loaded.config.source.family,
        "step": loaded.step,
        "checkpoint_sha256": loaded.checkpoint_sha256,
        "image_shape": list(scored.x.shape[1:]),
        "pairs": {
            "name": scored.name,
            "people": len(set(scored.people)),
            "folds": list(scored.fold_numbers),
        },
    }


def cases_of(pairs: VerificationPairs) -> Cases:
    """Every pair of two people as a case, its first image as the identity, where that person has
    another photo.

    Raises:
        DataError: If there is no such pair in two folds at least.
    """
    photos: dict[str, list[int]] = {}
    for image, person in enumerate(pairs.people):
        photos.setdefault(person, []).append(image)
    rows = []
    different = (~pairs.same).nonzero()[:, 0].tolist()
    for pair in different:
        identity, attributes = int(pairs.first[pair]), int(pairs.second[pair])
        more = [image for image in photos[pairs.people[identity]] if image != identity]
        if more:
            rows.append((identity, attributes, more[0], int(pairs.folds[pair])))
    if len({row[3] for row in rows}) < 2:
        raise DataError(
            f"{pairs.name}: needs people with two photos or more in pairs of two people, in two "
            "folds"
        )
    return Cases(*torch.tensor(rows).unbind(dim=1))


def render(source: IdentitySource, x: Tensor, identity: Tensor, attributes: Tensor) -> Tensor:
    """Renders of images (M, C, H, W), by number, on the CPU, (N, C, H, W)."""
    device, images = device_of(source), torch.stack([identity, attributes])
    parts = (x[numbers].to(device) for numbers in torch.split(images, BATCH, dim=1))
    return torch.cat([source.render(who, how).cpu() for who, how in parts])


def identity_quality(
    judge: nn.Module, pairs: VerificationPairs, cases: Cases, rendered: Tensor, own: Tensor
) -> Section:
    """Whom a verification network sees in renders, and in real photos in their place.

    A render is compared with the photo of its attributes and with another photo of its identity
    than the one it was made from; and so is the real photo. It is accepted as a person above the
    threshold at which at most 1 % of the real pairs of two people of the other folds are.

    Args:
        judge: A network with timm's interface.
        pairs: Pairs of people neither the judge nor the source has seen.
        cases: What was rendered.
        rendered: Renders of every case, (N, C, H, W).
        own: Renders of the identity photo as its own attributes, (N, C, H, W).

    Returns:
        ``cases`` and ``far``; ``shares``, where ``rendered`` and ``real`` hold ``identity``
        (accepted as the person of the identity, by another photo), ``attributes`` (as the person of
        the attributes) and ``identity_only`` (the one and not the other), and ``rendered`` and
        ``own`` hold ``given_photo`` (by the very photo they were made from), ``own`` also
        ``identity``; ``real_pairs``, the accepted of the pairs themselves, ``same`` and
        ``different``. Each is ``{"share", "ci95", "accepted", "of"}``.
    """
    threshold = _thresholds(judge, pairs)
    limit = torch.tensor([threshold[fold] for fold in cases.folds.tolist()], dtype=torch.float64)
    photos, of_render, of_own = (features(judge, x) for x in (pairs.x, rendered, own))
    given, how, other = (
        photos[numbers] for numbers in (cases.identity, cases.attributes, cases.other)
    )

    def accepted(first: Tensor, second: Tensor) -> Tensor:
        return pair_scores(first, second) > limit

    def whom(seen: Tensor, reference: Tensor) -> dict[str, Tensor]:
        as_identity, as_attributes = accepted(seen, reference), accepted(seen, how)
        both = {"identity": as_identity, "attributes": as_attributes}
        return both | {"identity_only": as_identity & ~as_attributes}

    found = {
        "rendered": whom(of_render, other) | {"given_photo": accepted(of_render, given)},
        "real": whom(given, other),
        "own": {"identity": accepted(of_own, other), "given_photo": accepted(of_own, given)},
    }
    shares = {
        row: {name: _share(value) for name, value in values.items()}
        for row, values in found.items()
    }
    return {
        "cases": len(limit),
        "far": FAR,
        "shares": shares,
        "real_pairs": _real_pairs(judge, pairs, threshold),
    }


def judge_config(config: Config, steps: int) -> Config:
    """The run's config with the judge's steps, and without a head or weights that another job was
    given.
    """
    classifier = config.classifier.model_copy(update={"steps": steps})
    return config.model_copy(update={"classifier": classifier, "verify": type(config.verify)()})


def judge_facts(judge: nn.Module, pairs: VerificationPairs, learned: LabelledImages) -> Section:
    """How good the judge is on the real pairs, and what it learned from."""
    found = measure_verification(score_pairs(judge, pairs), pairs.same, pairs.folds)
    facts: Section = {
        "images": len(learned),
        "people": len(learned.classes),
        "auc": found.auc.value,
    }
    return facts | {"accuracy": found.accuracy.value, "accuracy_ci95": list(found.accuracy.ci95)}


def picture(x: Tensor, cases: Cases, rendered: Tensor, own: Tensor) -> Image.Image:
    """Cases from first to last: who, how, the render, another photo of who, and who rendered by
    itself.
    """
    shown = torch.linspace(0, len(rendered) - 1, min(SHOWN, len(rendered))).round().long()
    rows = [x[cases.identity], x[cases.attributes], rendered, x[cases.other], own]
    names = ["identity", "attributes", "render", "identity, other photo", "identity by itself"]
    return sample_grid([row[shown] for row in rows], names)


def picture_of_renders(source: IdentitySource, x: Tensor, cases: Cases) -> Image.Image:
    """Renders alone, one row per identity and one column per photo of attributes, so that no photo
    is shown.
    """
    shown = (
        torch.linspace(0, len(cases.identity) - 1, min(SHOWN, len(cases.identity))).round().long()
    )
    who, how = cases.identity[shown], cases.attributes[shown]
    rows = [render(source, x, one.expand(len(how)), how) for one in who]
    return sample_grid(rows, [f"identity {number}" for number in range(len(rows))])


def as_markdown(result: Mapping[str, Any]) -> str:
    """The numbers as a page to read."""
    judge, pairs, versions = result["judge"], result["pairs"], result["versions"]
    extra = (
        f" and of folds {', '.join(map(str, judge['train_folds']))}" if judge["train_folds"] else ""
    )
    lines = [
        f"# People outside training: {result['dataset']}, {result['family']} at step "
        f"{result['step']}\n",
        f"{result['cases']} renders, identity and attributes from photos of two of "
        f"{pairs['people']} people "
        f"({pairs['name']}, {len(pairs['folds'])} folds) whom neither the source nor the judge "
        "has seen. The judge "
        f"({judge['steps']} steps on {judge['images']} photos of {judge['people']} people, the "
        f"source's{extra}) "
        f"judges {judge['accuracy']:.1%} of the real pairs rightly, ROC AUC {judge['auc']:.3f}. "
        "It accepts above the "
        f"threshold that lets {result['far']:.0%} of the real pairs of two people of the other "
        "folds pass.\n",
        "| accepted, % (95 % interval) | as the identity | as the attributes' person | as the "
        "identity only "
        "| by the photo given |\n|---|---:|---:|---:|---:|",
    ]
    columns = ("identity", "attributes", "identity_only", "given_photo")
    for row, name in ROWS.items():
        cells = [_cell(result["shares"][row].get(column)) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    real = result["real_pairs"]
    lines += [
        "",
        f"Real pairs accepted: {_cell(real['same'])} % of one person, {_cell(real['different'])} "
        "% of two.\n",
        '"As the identity" is by another photo of the person than the one rendered from. '
        "The intervals are binomial; people come up in several renders, so they are somewhat "
        "narrow.\n",
        "## Made by\n",
        f"`{result['command']}`\n",
        f"Checkpoint {result['checkpoint_sha256'][:12]}, seed {result['seed']}; "
        f"{result['device']}; "
        f"{', '.join(f'{n} {v}' for n, v in versions.items())}.\n",
    ]
    return "\n".join(lines)


def _thresholds(judge: nn.Module, pairs: VerificationPairs) -> dict[int, float]:
    """For every fold, what lets at most ``FAR`` of the real pairs of two people of the other folds
    pass.
    """
    scores, folds = score_pairs(judge, pairs)[~pairs.same].numpy(), pairs.folds[~pairs.same].numpy()
    return {fold: far_threshold(scores[folds != fold], FAR) for fold in pairs.fold_numbers}


def _real_pairs(
    judge: nn.Module, pairs: VerificationPairs, threshold: Mapping[int, float]
) -> Section:
    limit = torch.tensor([threshold[fold] for fold in pairs.folds.tolist()], dtype=torch.float64)
    accepted = score_pairs(judge, pairs) > limit
    return {"same": _share(accepted[pairs.same]), "different": _share(accepted[~pairs.same])}


def _share(accepted: Tensor) -> Section:
    count, total = int(accepted.sum()), len(accepted)
    return {
        "share": count / total,
        "ci95": list(share_interval(count, total)),
        "accepted": count,
        "of": total,
    }


def _cell(share: Mapping[str, Any] | None) -> str:
    if share is None:
        return "–"
    low, high = share["ci95"]
    return f"{100 * share['share']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
