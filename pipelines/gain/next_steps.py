"""What to do after a gain run, with commands to copy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream.arms.policy import policy_of
from downstream.metrics import metric_of
from pipelines.config import load_config
from pipelines.data.table import NAMED_DATA
from pipelines.experiment.provenance import command_line
from pipelines.gain.budget import WHOLE
from pipelines.gain.outside import COPIES
from pipelines.image_folder import printable
from pipelines.report.cards import Step
from pipelines.report.repeat import more_steps

USUAL = Path("RUN")
"""Stands for the folder of a run where it is not known."""


def next_steps(result: Mapping[str, Any], folder: Path | None = None) -> list[Step]:
    """What the verdict of a run leads to, the most useful first.

    Args:
        result: The contents of ``gain.json``, with the ``light`` of its verdict.
        folder: Of the run.
    """
    run, light = folder or USUAL, result["verdict"].get("light", "amber")
    steps = _use(result, run) if light == "green" else _decide(result, run)
    if light == "red":
        steps.insert(0, Step(f"Train with `{_baseline(result)}`, without synthetic images."))
    return [*steps, *_photograph(result)]


def _use(result: Mapping[str, Any], run: Path) -> list[Step]:
    """Train the generator on everything, render what lacks, mix it in."""
    generator = run.with_name(f"{run.name}-generator")
    config, target = _quoted(run / "config.yaml"), _quoted(generator)
    taken = bool(result["policy"]) and policy_of(result["policy"]).uses_synthetic
    steps, ours = [], not result.get("outside")
    made = generator / "synthetic" if ours else _outside_set(result, run)
    if ours:
        size = result.get("setup", {}).get("generator size", "").partition("x")[0]
        sized = f" --size {size}" if size else ""
        words = "Train the generator on the training images."
        steps.append(Step(words, f"augmentor train {config}{sized} --out {target}"))
        words, how = _of_combinations(result) if taken else _amount(result)
        if taken and (least := result["policy"].get("confidence")):
            how += f" --filter confidence={least:g}"
        steps.append(Step(words, f"augmentor synth {target} {how}"))
    # The file holds what auto chose; another arm that is ahead has no file, and mixes in the whole
    # set: its images are as many as each class is to get.
    how = f', policy="{run / "policy.json"}"' if taken else ""
    mix = f'augmentor.SyntheticMix(train_set, "{made}"{how})'
    return [*steps, Step("Mix them into your training, in Python.", mix)]


def _outside_set(result: Mapping[str, Any], run: Path) -> Path:
    """Another generator's images as ``SyntheticMix`` reads them: the run's copy of a folder of
    images, else the set that its config names. Of several the one that ``auto`` chose, or whose
    leading arm is ahead.
    """
    sign = 1.0 if metric_of(result["metric"]).higher_is_better else -1.0
    chosen = (result["policy"] or {}).get("outside", "").rpartition(":")[2]

    def order(row: Mapping[str, Any]) -> tuple[bool, float]:
        return row["digest"] == chosen, sign * result["arms"][row["lead"]]["mean"]

    best = max(result["outside"], key=order)
    copy = run / COPIES / f"{best['name']}-{best['digest']}"
    if copy.is_dir() or not (run / "config.yaml").is_file():
        return copy
    named = load_config(run / "config.yaml").gain.synthetic
    return next((one for one in named if printable(one.resolve().name) == best["name"]), copy)


def _of_combinations(result: Mapping[str, Any]) -> tuple[str, str]:
    """What to render for the policy that was chosen: every combination equally often, with latents
    as close to the prior's mean, where it asks for that.
    """
    policy, combinations = policy_of(result["policy"]), result.get("combinations")
    if not policy.fill or not combinations:
        return _amount(result)
    fullest = max(max(row) for row in combinations["train"])
    number = fullest * len(combinations["train"][0])
    words = f"Render every combination equally often, {fullest} images each."
    return words, f"--per-class {number} --spread {policy.recipe.spread:g}"


def _amount(result: Mapping[str, Any]) -> tuple[str, str]:
    """What to render, in words and as an option of ``synth``."""
    if result.get("combinations"):
        return "Render the missing combinations.", "--fill"
    if len(set(result.get("training_counts", {}).values())) == 1:
        return "Render as many images as you have.", "--ratio 1"
    return "Render the rare classes.", "--class-balance"


def _decide(result: Mapping[str, Any], run: Path) -> list[Step]:
    """What would tell more than this run did."""
    steps, here = [], _quoted(run)
    if whole := result.get("setup", {}).get(WHOLE):
        words = "Train with all steps: they were cut to fit the budget, which decides little."
        config = _quoted(run / "config.yaml")
        steps.append(Step(words, f"augmentor gain {config} {whole} --out {here}-whole"))
    if result["scored_on"] != "test" and (command := _on_test_images(result, run)):
        words = "Ask the test images, which this screening left alone."
        steps.append(Step(words, command))
    if not any(row["baseline"] in result["baselines"].values() for row in result["comparisons"]):
        arms = ",".join([*result["arms"], "synthetic+classical"])
        words = "Add an arm with synthetic images; finished trainings are kept."
        steps.append(Step(words, f"augmentor gain {here} --arms {arms}"))
    elif more := _replicates(result):
        counts, seed = (result["replicates"], more), result.get("setup", {}).get("seed", 0)
        steps += more_steps("gain", run, "replicates", counts, seed)
    elif best := _open_rival(result) or _baseline(result):
        several = len(set(result["baselines"].values())) > 1
        why = "the strongest arm without a generator" if several else "without synthetic images"
        steps.append(Step(f"Train with `{best}`, {why}."))
    if not result.get("combinations") and result["dataset"] not in NAMED_DATA:
        words = (
            "Do some classes lack a light, pose or place that others were photographed in? There "
            "rendering pays. Write it into a column of metadata.csv beside the images, and its "
            "name in the place of COLUMN"
        )
        # Neither a pool nor a set goes with conditions: those of their images are not known.
        alone = result.get("outside") or "unlabelled" in result.get("regime", "")
        asked, place = ("--data FOLDER", ", your folder in that of FOLDER") if alone else (here, "")
        command = f"augmentor gain {asked} --condition COLUMN --rehearse --out {here}-by-column"
        steps.append(Step(f"{words}{place}.", command))
    return steps


def _on_test_images(result: Mapping[str, Any], run: Path) -> str:
    """The command of a screening without what made it one; empty if it is not known."""
    given = shlex.split(result.get("command") or "")
    if given[:2] != ["augmentor", "gain"] or "--screening" not in given:
        return ""
    kept, skips = list[str](), False
    for word in given:
        if skips or word == "--screening" or word.startswith(("--out=", "--budget=")):
            skips = False
        elif word in ("--out", "--budget"):
            skips = True
        else:
            kept.append(word)
    return command_line([*kept, "--out", f"{run}-on-test"])


def _replicates(result: Mapping[str, Any]) -> int | None:
    """How many replicates would decide an open comparison with a baseline, at least three."""
    wanted, rivals = [], [*result["baselines"].values(), _open_rival(result)]
    for row in result["comparisons"]:
        if row["outcome"] == "undecided" and row["baseline"] in rivals:
            wanted.append(row["needed"] or 0)
    few = 3 if result["replicates"] < 3 else 0
    most = max([few, *wanted])
    return most if most > result["replicates"] else None


def _photograph(result: Mapping[str, Any]) -> list[Step]:
    rehearsal = (result["policy"] or {}).get("rehearsal") or {}
    worthy = [one for one in rehearsal.get("photograph", ()) if one["worth"] > 0]
    if not worthy:
        return []
    first = worthy[0]
    name = f"{first['class']} × {first['condition']}"
    return [Step(f"Take real photos where you can. They help most for {name}.")]


def _open_rival(result: Mapping[str, Any]) -> str:
    """The arm with the highest mean that stood in the way of a green light, if one did."""
    outcomes = {(row["arm"], row["baseline"]): row["outcome"] for row in result["comparisons"]}
    bases = set(result["baselines"].values())
    for (arm, rival), found in outcomes.items():
        if found == "better" or rival in bases or arm not in [*result["mixtures"], "auto"]:
            continue
        beaten = all(outcomes.get((arm, base)) == "better" for base in bases)
        if beaten and rival in result.get("highest_means", {}).values():
            return str(rival)
    return ""


def _baseline(result: Mapping[str, Any]) -> str:
    """The strongest arm without a generator, on the scored images."""
    sign = 1.0 if metric_of(result["metric"]).higher_is_better else -1.0
    means = {
        name: sign * result["arms"][name]["mean"]
        for name in result["baselines"].values()
        if name in result["arms"]
    }
    return max(means, key=means.__getitem__, default="")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
