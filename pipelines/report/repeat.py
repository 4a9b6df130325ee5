"""How to decide what a run left open: by a fresh run, or by more replicates of the same one."""

from __future__ import annotations

import shlex
from pathlib import Path

from augmentor.common.randomness import seed_for
from downstream.comparison import FEWEST_TO_DECIDE
from pipelines.report.cards import Step


def more_steps(
    job: str, run: Path, unit: str, counts: tuple[int, int], seed: int, more: str = ""
) -> list[Step]:
    """Commands for more replicates, the one whose claims hold first.

    Who looks, extends a run that is undecided and looks again gives chance several tries: where
    nothing has an effect, a claim comes out in more than 5 % of such runs. Only below the fewest
    replicates that decide anything does extending cost nothing, as nothing could be claimed before.

    Args:
        job: Name of the command.
        run: Folder of the run.
        unit: ``replicates`` or ``subsets``, as its option is called.
        counts: How many it has, and how many are wanted.
        seed: Of the run.
        more: Another option that both commands need.

    Example:
        >>> more_steps("gain", Path("runs/a"), "replicates", (5, 12), 0)[0].command
        'augmentor gain runs/a/config.yaml --replicates 12 --seed 94279 --out runs/a-again'
    """
    has, wanted = counts
    here, config = shlex.quote(str(run)), shlex.quote(str(run / "config.yaml"))
    asked = f"--{unit} {wanted} {more}".rstrip()
    extend = f"augmentor {job} {here} {asked}"
    if has < FEWEST_TO_DECIDE:
        return [Step(f"Run {wanted} {unit}; finished ones are kept.", extend)]
    out = shlex.quote(f"{run}-again")
    another = seed_for("fresh run", seed) % 100_000  # short enough to read
    fresh = f"augmentor {job} {config} {asked} --seed {another} --out {out}"
    words = (
        f"Or extend this run to {wanted} {unit}, which keeps the finished ones. A claim after a "
        "second look is wrong more often than one time in twenty: say that you looked twice."
    )
    return [
        Step(f"Decide by a fresh run of {wanted} {unit} with another seed.", fresh),
        Step(words, extend),
    ]
