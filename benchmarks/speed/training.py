"""A training step of every size, as it was and as it is: wall time, kernel time, and their ratio.

    python -m benchmarks.speed.training [--device cuda] [--json FILE]

Before: batches and noise from the CPU, one kernel at a time, the losses read in every step. Now:
images on the card, the step recorded as a CUDA graph and replayed, numbers looked at every 20
steps. Both in one process, in turns. On a CPU there is nothing to record: the same steps are taken,
so that the benchmark can be tried, and both times are about equal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from augmentor.common.types import LabelledImages, StepReport
from augmentor.families import FAMILIES
from augmentor.trained import Session, new_session
from augmentor.training.loop import fit, plain_steps
from benchmarks.speed.rounds import medians

SIZES = {"cuda": ((28, 64), (28, 256), (64, 64), (64, 256)), "cpu": ((28, 64), (64, 64))}
"""Pixels and batch; on a CPU the large batches take too long."""
IMAGES, FOREVER = 2048, 10**9
TIMED = {"cuda": 100, "cpu": 1}
"""Steps in a timed round."""


def session_of(family: str, side: int, batch: int, device: str, images_on: str) -> Session:
    """Networks of the default width, on noise of ten classes."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(IMAGES, 1, side, side, generator=draw) * 2 - 1
    y = torch.arange(IMAGES) % 10
    images = LabelledImages(x, y, tuple(map(str, range(10))))
    chosen = FAMILIES[family]
    session = new_session(
        images, chosen, chosen.options_for("default", {}), 0, batch_size=batch, device=device
    )
    if images_on == "cpu":
        session.batches.there = None
    return session


def taking(steps: Iterator[StepReport], count: int, wait: Callable[[], None]) -> Callable[[], None]:
    """Work that takes ``count`` of the steps and waits for them."""

    def work() -> None:
        for _ in range(count):
            next(steps)
        wait()

    return work


def measure(family: str, side: int, batch: int, device: str, rounds: int) -> dict[str, float]:
    """Milliseconds per step before and now, and the share of the time in which kernels ran."""
    count = TIMED[device]
    wait = torch.cuda.synchronize if device == "cuda" else _nothing
    old = session_of(family, side, batch, device, "cpu")
    new = session_of(family, side, batch, device, device)
    ways = {
        "before": taking(_steps(plain_steps, old), count, wait),
        "now": taking(_steps(fit, new), count, wait),
    }
    for work in ways.values():
        work()
    seconds = medians(ways, rounds)
    ms = {name: 1000 * found / count for name, found in seconds.items()}
    found = {
        "ms": round(ms["now"], 3),
        "ms_before": round(ms["before"], 3),
        "times_before": round(ms["before"] / ms["now"], 2),
        "images_per_second": round(1000 * batch / ms["now"], 1),
    }
    if device == "cuda":
        kernels = kernel_ms(ways["now"], count)
        found |= {"kernel_ms": round(kernels, 3), "busy": round(kernels / ms["now"], 3)}
    return found


def kernel_ms(work: Callable[[], None], count: int) -> float:
    """Milliseconds per step in which the card computed, as torch's profiler sees them."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
    total = sum(event.self_device_time_total for event in seen.key_averages())
    return float(total) / 1000 / count


def _steps(way: Callable[..., Iterator[StepReport]], s: Session) -> Iterator[StepReport]:
    return way(s.trainer, s.average, s.batches, steps=FOREVER, seed=0)


def _nothing() -> None:
    """A CPU has done its work when it returns."""


def main() -> None:
    """Measure, print as it goes, and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=TIMED, default="cpu")
    parser.add_argument("--family", choices=FAMILIES, default="cvae_gan")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", help="such as 28x64: pixels and batch")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (
        [tuple(map(int, s.split("x"))) for s in asked.sizes] if asked.sizes else SIZES[asked.device]
    )
    found: dict[str, Any] = {}
    for side, batch in sizes:
        found[f"{side}x{batch}"] = measure(asked.family, side, batch, asked.device, asked.rounds)
        print(f"{side}x{batch}", json.dumps(found[f"{side}x{batch}"]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
