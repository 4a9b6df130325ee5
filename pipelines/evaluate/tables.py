"""The numbers of an evaluation as a table for the terminal and as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downstream.metrics import POINTS
from pipelines.generators.compared import Section
from pipelines.generators.copied import copies_words
from pipelines.generators.findings import membership_words, summary
from pipelines.report.markdown import escaped


@dataclass(frozen=True)
class Column:
    """A number of ``findings.summary`` as tables show it.

    Args:
        title: What it is called.
        short: In a table for the terminal.
        better: Which way: more, less, or near 1 as real data are.
        meaning: In words, for readers who meet it for the first time.
        factor: Times the number.
        digits: After the point.
    """

    title: str
    short: str
    better: str
    meaning: str
    factor: int = 1
    digits: int = 3

    def shown(self, value: float | None) -> str:
        """A number of this column, a dash for none."""
        return _shown(value, self.factor, self.digits)


COLUMNS = {
    "top1": Column("top-1 %", "top-1 %", "↑", "the judge finds the class asked for", 100, 2),
    "inception_score": Column(
        "inception score", "IS", "↑", "sure answers, all classes equally often", digits=2
    ),
    "fid": Column("FID", "FID", "↓", "distance to real images, as a whole"),
    "kid": Column("KID × 1000", "KID k", "↓", "the same, with less luck", 1000, 2),
    "precision": Column("precision", "prec", "↑", "generated images lie among real ones"),
    "recall": Column("recall", "recall", "↑", "real images lie among generated ones"),
    "density": Column("density", "dens", "→1", "how closely they lie among real ones"),
    "coverage": Column("coverage", "cover", "↑", "real images with a generated one near"),
    "diversity": Column("diversity", "divers", "→1", "distances within a class, over real"),
    "cas": Column(
        "trained on it, real test %", "CAS %", "↑", "% of real test images it then knows", 100, 2
    ),
}
"""The numbers of ``findings.summary`` in their order."""


def evaluate_table(result: Mapping[str, Any]) -> str:
    """Every measure of generated and of real images in a line, for a terminal of 80 columns."""
    made, real = (summary(result["metrics"], row) for row in ("generated", "real"))
    text = [f"{'':<18}  {'generated':>9}  {'real':>7}"]
    for key, column in COLUMNS.items():
        title = f"{column.title.partition(',')[0]:<15} {column.better:<2}"
        numbers = f"{column.shown(made[key]):>9}  {column.shown(real[key]):>7}"
        text.append(f"{title}  {numbers}  {column.meaning}")
    return "\n".join(text)


def as_markdown(result: Section) -> str:
    """The numbers as a page to read: the verdict, a table with the row "real data", what the
    columns mean.
    """
    metrics, said = result["metrics"], result["verdict"]
    lines = [f"# Evaluation: {escaped(result['dataset'])}, {escaped(result['regime'])}\n"]
    lines.append(f"**{escaped(said['advice'])}**\n")
    lines += [*(f"- {escaped(words)}" for words in said["lines"]), ""]
    for words in result["warnings"]:
        lines.append(f"**Warning**: {escaped(words)}.\n")
    if "conditions" in result:
        lines.append(f"{escaped(result['conditions'])}.\n")
    lines += _table_head()
    lines.append(_table_row("real data", summary(metrics, "real")))
    lines.append(_table_row("generated", summary(metrics, "generated")))
    lines += ["", *(f"- {words}" for words in legend(result)), ""]
    lines += ["## Memorisation\n", _memorisation(metrics["memorisation"])]
    return "\n".join([*lines, "## Made by\n", _origin(result)])


def _table_head() -> list[str]:
    titles = [column.title for column in COLUMNS.values()]
    return [f"| | {' | '.join(titles)} |", f"|---|{'---:|' * len(COLUMNS)}"]


def _table_row(name: str, row: Section) -> str:
    return f"| {name} | {' | '.join(quality_cells(row))} |"


def quality_cells(row: Section) -> list[str]:
    """What ``findings.summary`` returned, as a table shows it: a text per column of ``COLUMNS``."""
    return [column.shown(row[key]) for key, column in COLUMNS.items()]


def _shown(value: float | None, factor: float, digits: int) -> str:
    return "–" if value is None else f"{value * factor:.{digits}f}"


def legend(result: Section) -> list[str]:
    """What the measures mean, in sentences."""
    metrics, judge, student = result["metrics"], result["judge"], result["student"]
    answers, fidelity, usefulness = metrics["answers"], metrics["fidelity"], metrics["usefulness"]
    return [
        f"Judge: {judge['name']}, {judge['steps']} steps of {judge['batch_size']} on "
        f"{result['images']['train']} real training images with classical augmentation of strength "
        f"{judge['strength']}. It recognises {POINTS.shown(answers['real']['top1'])} of "
        f"{answers['real']['images']} real test images. Features are its {judge['features']}: "
        "numbers in them cannot be compared with those of another judge.",
        f"top-1, inception score: {answers['generated']['images']} generated images in equal "
        "shares of the classes, latents from the whole prior, no filter. Real data: the test "
        "images.",
        f"FID, KID, precision, recall, density, coverage (k = {result['k']}): "
        f"{fidelity['generated']['images']} generated against as many real test images of the same "
        f"classes. Real data: {fidelity['real']['images']} training against as many test images.",
        "diversity: mean distance in pixels of two images of the same class, over that of real "
        "test images.",
        f"trained on it (classification accuracy score): {student['name']}, {student['steps']} "
        f"steps of {student['batch_size']}, augmentation of strength {student['strength']}, "
        f"trained on {usefulness['generated']['images']} generated images only. Real data: on "
        f"{usefulness['real']['images']} training images.",
    ]


def _memorisation(memorisation: Section) -> str:
    lines = [
        f"{memorisation['samples']} samples and {memorisation['unseen']} unseen test images "
        "against the "
        f"{memorisation['seen']} images the source has seen.\n",
        "| distance in | median of samples | median of unseen | p (samples nearer) | near copies "
        "% (without copying 1) "
        "| copied share % (without copying 0) |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind in ("pixels", "features"):
        m = memorisation[kind]
        lines.append(
            f"| {kind} | {m['median_sample']:.3f} | {m['median_holdout']:.3f} | {m['p']:.2g} | "
            f"{_shown(m['near_copies'], 100, 1)} | {_shown(m['copied_share'], 100, 1)} ± "
            f"{_shown(m['copied_share_error'], 100, 1)} |"
        )
    if copies := memorisation.get("copies"):
        unseen = copies["unseen"]
        lines.append(
            f"\nOne by one: {copies_words(copies)}. Of unseen real images {unseen['found']} of "
            f"{unseen['looked_at']} were called so."
        )
    if found := memorisation.get("membership"):
        lines.append(f"\nMembership inference attack: {membership_words(found)}.")
    return "\n".join(lines) + "\n"


def _origin(result: Section) -> str:
    source = result["source"]
    versions = _listed(result["versions"], "{} {}")
    seconds = _listed(result["seconds"], "{} {:.0f}")
    return f"""\
`{result["command"]}`

Source: {source["family"]}, preset {source["preset"]}, step {source["step"]}, source augmentation \
{source["source_augment"]}, checkpoint {source["checkpoint_sha256"][:12]}. {result["device"]}; \
{versions}. Seconds: {seconds}.
"""


def _listed(values: Section, form: str) -> str:
    return ", ".join(form.format(name, value) for name, value in values.items())
