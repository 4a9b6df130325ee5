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
from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError, IdentitySource, LabelledImages, device_of
from downstream.classifier import features
from downstream.heads import SCALE
from downstream.metrics import POINTS
from downstream.verification import far_threshold, measure_verification, pair_scores, share_interval
from pipelines.config import data_root
from pipelines.datasets import load_data
from pipelines.device import use_threads
from pipelines.edit.files import identity_source
from pipelines.experiment.provenance import provenance
from pipelines.generators.compared import Section
from pipelines.generators.load import LoadedRun, load_source
from pipelines.interrupt import watch_signals
from pipelines.report.pictures import png_bytes, sample_grid
from pipelines.verify.network import score_pairs, train_verifier
from pipelines.verify.pairs import VerificationPairs, find_pairs, read_pairs
from pipelines.verify.plan import split_pairs

FAR = 1e-2
BATCH = 64
SHOWN = 10
ROWS = {
    "rendered": "render of two photos",
    "real": "a real photo in its place",
    "own": "render of one photo by itself",
}
COLUMNS = ("identity", "attributes", "identity_only", "given_photo")


@dataclass(frozen=True)
class Opened:
    """What the job works on.

    Args:
        loaded: The run.
        source: Its source.
        learned: Photos that the judge learns from; people are classes.
        scored: Pairs of people whom neither has seen.
    """

    loaded: LoadedRun
    source: IdentitySource
    learned: LabelledImages
    scored: VerificationPairs


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
        DataError: If the run is missing, data or pairs cannot be used, or the source saw people
            in the pairs.
    """
    began, judge_seed = time.monotonic(), seed_for("judge", seed)
    opened = _opened(run, pairs, train_folds, device)
    cases = cases_of(opened.scored)
    judge = _trained_judge(opened, judge_steps, judge_seed)
    trained = time.monotonic()
    rendered = render(opened.source, opened.scored.x, cases.identity, cases.attributes)
    own = render(opened.source, opened.scored.x, cases.identity, cases.identity)
    measured = identity_quality(judge, opened.scored, cases, rendered, own)
    how = {"steps": judge_steps, "seed": judge_seed, "train_folds": list(train_folds)}
    measured["judge"] = judge_facts(judge, opened.scored, opened.learned) | how
    seconds = {"judge": trained - began, "rendering": time.monotonic() - trained}
    result = {"schema": 1, "seed": seed} | _facts(opened) | measured
    result |= provenance(seconds, str(device_of(opened.source)), command=command)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "identity_quality.json", result)
    write_text(out / "identity_quality.md", as_markdown(result))
    _write_pictures(out, opened, cases, rendered, own)
    return result


def _opened(run: Path, pairs: str, train_folds: Sequence[int], device: str | None) -> Opened:
    loaded, source = load_source(run, device), identity_source(run, "identity-quality", device)
    data = loaded.config.data
    use_threads(loaded.config.threads)
    bundle = load_data(data, loaded.config.seed)
    if bundle.train.classes != source.classes or bundle.train.image_shape != source.image_shape:
        raise DataError(f"{bundle.name}: the source of {run} was trained on other data than these")
    everyone = read_pairs(find_pairs(pairs, data_root(data)), source.image_shape)
    everyone.refuse_known(source.classes, loaded.trained_on, f"the source of {run}")
    learned, scored = split_pairs(bundle.train, everyone, train_folds)
    return Opened(loaded, source, learned, scored)


def _trained_judge(opened: Opened, steps: int, seed: int) -> nn.Module:
    """A network that tells people, with the softmax head and every person drawn equally often."""
    trainer = opened.loaded.trainer().with_steps(steps)
    with watch_signals() as watch:
        return train_verifier(
            opened.learned,
            None,
            trainer,
            head="softmax",
            margin=None,
            scale=SCALE,
            seed=seed,
            check=watch.check,
        )


def _write_pictures(out: Path, opened: Opened, cases: Cases, rendered: Tensor, own: Tensor) -> None:
    with_photos = picture(opened.scored.x, cases, rendered, own)
    renders = picture_of_renders(opened.source, opened.scored.x, cases)
    write_bytes(out / "identity_quality.png", png_bytes(with_photos))
    write_bytes(out / "identity_quality_renders.png", png_bytes(renders))


def _facts(opened: Opened) -> Section:
    config, scored = opened.loaded.config, opened.scored
    people = {"name": scored.name, "people": len(set(scored.people))}
    return {
        "dataset": config.data.data,
        "family": config.source.family,
        "step": opened.loaded.step,
        "checkpoint_sha256": opened.loaded.checkpoint_sha256,
        "image_shape": list(scored.x.shape[1:]),
        "pairs": people | {"folds": list(scored.fold_numbers)},
    }


def cases_of(pairs: VerificationPairs) -> Cases:
    """Every pair of two people as a case, its first image as the identity, where that person has
    another photo.

    Raises:
        DataError: If two folds at least do not have such a pair.
    """
    photos: dict[str, list[int]] = {}
    for image, person in enumerate(pairs.people):
        photos.setdefault(person, []).append(image)
    rows, folds = [], set()
    for pair in (~pairs.same).nonzero()[:, 0].tolist():
        identity, attributes = int(pairs.first[pair]), int(pairs.second[pair])
        fold = int(pairs.folds[pair])
        for other in photos[pairs.people[identity]]:
            if other != identity:
                rows.append((identity, attributes, other, fold))
                folds.add(fold)
                break
    if len(folds) < 2:
        raise DataError(
            f"{pairs.name}: needs people with two photos or more in pairs of two people, in two "
            "folds"
        )
    return Cases(*torch.tensor(rows).unbind(dim=1))


def render(source: IdentitySource, x: Tensor, identity: Tensor, attributes: Tensor) -> Tensor:
    """Renders of images (M, C, H, W), by number, on the CPU, (N, C, H, W)."""
    device, rendered = device_of(source), []
    for numbers in torch.split(torch.stack([identity, attributes]), BATCH, dim=1):
        who, how = x[numbers].to(device)
        rendered.append(source.render(who, how).cpu())
    return torch.cat(rendered)


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
    limit = _limits(threshold, cases.folds)
    photos = features(judge, pairs.x)
    of_render, of_own = features(judge, rendered), features(judge, own)
    given, how, other = photos[cases.identity], photos[cases.attributes], photos[cases.other]

    def accepted(first: Tensor, second: Tensor) -> Tensor:
        return pair_scores(first, second) > limit

    def whom(seen: Tensor) -> dict[str, Tensor]:
        as_identity, as_attributes = accepted(seen, other), accepted(seen, how)
        both = {"identity": as_identity, "attributes": as_attributes}
        return both | {"identity_only": as_identity & ~as_attributes}

    of_own_photo = {"identity": accepted(of_own, other), "given_photo": accepted(of_own, given)}
    shares = {
        "rendered": _shares(whom(of_render) | {"given_photo": accepted(of_render, given)}),
        "real": _shares(whom(given)),
        "own": _shares(of_own_photo),
    }
    found = {"cases": len(limit), "far": FAR, "shares": shares}
    return found | {"real_pairs": _real_pairs(judge, pairs, threshold)}


def judge_facts(judge: nn.Module, pairs: VerificationPairs, learned: LabelledImages) -> Section:
    """How good the judge is on the real pairs, and what it learned from."""
    found = measure_verification(score_pairs(judge, pairs), pairs.same, pairs.folds)
    return {
        "images": len(learned),
        "people": len(learned.classes),
        "auc": found.auc.value,
        "accuracy": found.accuracy.value,
        "accuracy_ci95": list(found.accuracy.ci95),
    }


def picture(x: Tensor, cases: Cases, rendered: Tensor, own: Tensor) -> Image.Image:
    """Cases from first to last: who, how, the render, another photo of who, and who rendered by
    itself.
    """
    shown = _spread_over(len(rendered))
    rows = [x[cases.identity], x[cases.attributes], rendered, x[cases.other], own]
    names = ["identity", "attributes", "render", "identity, other photo", "identity by itself"]
    return sample_grid([row[shown] for row in rows], names)


def picture_of_renders(source: IdentitySource, x: Tensor, cases: Cases) -> Image.Image:
    """Renders alone, one row per identity and one column per photo of attributes, so that no photo
    is shown.
    """
    shown = _spread_over(len(cases.identity))
    how, rows, names = cases.attributes[shown], [], []
    for number, who in enumerate(cases.identity[shown]):
        rows.append(render(source, x, who.expand(len(how)), how))
        names.append(f"identity {number}")
    return sample_grid(rows, names)


def _spread_over(count: int) -> Tensor:
    """At most ``SHOWN`` numbers from the first to the last of ``count``, int64."""
    return torch.linspace(0, count - 1, min(SHOWN, count)).round().long()


def as_markdown(result: Mapping[str, Any]) -> str:
    """The numbers as a page to read."""
    return "\n".join(
        [
            f"# People outside training: {result['dataset']}, {result['family']} at step "
            f"{result['step']}\n",
            _about_the_judge(result),
            *_table_lines(result["shares"]),
            "",
            _about_real_pairs(result["real_pairs"]),
            '"As the identity" is by another photo of the person than the one rendered from. '
            "The intervals are binomial; people come up in several renders, so they are somewhat "
            "narrow.\n",
            "## Made by\n",
            *_origin_lines(result),
        ]
    )


def _about_the_judge(result: Mapping[str, Any]) -> str:
    judge, pairs = result["judge"], result["pairs"]
    learned = "the source's"
    if judge["train_folds"]:
        learned += f" and of folds {', '.join(map(str, judge['train_folds']))}"
    accuracy, far = POINTS.shown(judge["accuracy"]), f"{100 * result['far']:.0f} %"
    return (
        f"{result['cases']} renders, identity and attributes from photos of two of "
        f"{pairs['people']} people ({pairs['name']}, {len(pairs['folds'])} folds) whom neither the "
        f"source nor the judge has seen. The judge ({judge['steps']} steps on {judge['images']} "
        f"photos of {judge['people']} people, {learned}) judges {accuracy} of the "
        f"real pairs rightly, ROC AUC {judge['auc']:.3f}. It accepts above the threshold that lets "
        f"{far} of the real pairs of two people of the other folds pass.\n"
    )


def _table_lines(shares: Mapping[str, Section]) -> list[str]:
    lines = [
        "| accepted, % (95 % interval) | as the identity | as the attributes' person | as the "
        "identity only | by the photo given |\n|---|---:|---:|---:|---:|"
    ]
    for row, name in ROWS.items():
        cells = [_cell(shares[row].get(column)) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _about_real_pairs(real: Mapping[str, Section]) -> str:
    same, different = _cell(real["same"]), _cell(real["different"])
    return f"Real pairs accepted: {same} % of one person, {different} % of two.\n"


def _origin_lines(result: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(map(" ".join, result["versions"].items()))
    checkpoint = result["checkpoint_sha256"][:12]
    return [
        f"`{result['command']}`\n",
        f"Checkpoint {checkpoint}, seed {result['seed']}; {result['device']}; {versions}.\n",
    ]


def _thresholds(judge: nn.Module, pairs: VerificationPairs) -> dict[int, float]:
    """For every fold, what lets at most ``FAR`` of the real pairs of two people of the other folds
    pass.
    """
    different, found = ~pairs.same, dict[int, float]()
    scores = score_pairs(judge, pairs)[different].numpy()
    folds = pairs.folds[different].numpy()
    for fold in pairs.fold_numbers:
        found[fold] = far_threshold(scores[folds != fold], FAR)
    return found


def _limits(threshold: Mapping[int, float], folds: Tensor) -> Tensor:
    """The threshold of every fold number in ``folds`` (N,), float64 (N,)."""
    return torch.tensor([threshold[fold] for fold in folds.tolist()], dtype=torch.float64)


def _real_pairs(
    judge: nn.Module, pairs: VerificationPairs, threshold: Mapping[int, float]
) -> Section:
    accepted = score_pairs(judge, pairs) > _limits(threshold, pairs.folds)
    return {"same": _share(accepted[pairs.same]), "different": _share(accepted[~pairs.same])}


def _shares(accepted: Mapping[str, Tensor]) -> Section:
    return {name: _share(one) for name, one in accepted.items()}


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
