"""All benchmarks of speed, and the file that the page of figures is checked against.

    python -m benchmarks.speed [--device cuda] [--pythae PYTHON] --json docs/results/bench.json

Every part is a program of its own and runs alone, one after the other; on a machine with other work
the ratios hold, the seconds do not. A part that is left out with ``--only`` keeps the figures that
the file has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_json

PARTS = (
    "import", "training", "classifiers", "pythae", "oversampling", "mixing", "writing", "synthesis",
    "demo",
)  # fmt: skip


def figures(program: list[str], folder: Path) -> Any:
    """What a benchmark writes to its ``--json``."""
    out = folder / "figures.json"
    subprocess.run([*program, "--json", str(out)], check=True)
    return json.loads(out.read_text(encoding="utf-8"))


def demo_seconds(folder: Path) -> float:
    """Wall-clock seconds of ``augmentor demo``, from the command to the report."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pipelines.cli", "demo", "--out", str(folder / "demo")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - start, 1)


def measure(part: str, device: str, pythae: str, folder: Path) -> dict[str, Any]:
    """The figures of one part, as they stand in the file."""
    here = [sys.executable, "-m"]
    if part == "import":
        found = figures([sys.executable, "benchmarks/import_time.py"], folder)
        programs = found["programs"]
        return {"import_ratio": programs["import augmentor"]["ratio"], "imports": programs}
    if part == "training":
        found = figures([*here, "benchmarks.speed.training", "--device", device], folder)
        return {"gpu" if device == "cuda" else "cpu_steps": found}
    if part == "classifiers":
        found = figures([*here, "benchmarks.speed.classifiers", "--device", device], folder)
        return {"side_by_side" if device == "cpu" else "side_by_side_gpu": found}
    if part == "pythae":
        program = [pythae, "-m", "benchmarks.speed.against_pythae", "--device", device]
        return {"pythae" if device == "cpu" else "pythae_gpu": figures(program, folder)}
    if part in ("oversampling", "writing"):
        return {part: figures([*here, f"benchmarks.speed.{part}"], folder)}
    if part == "mixing":
        found = figures([*here, "benchmarks.speed.mixing"], folder)
        return {"mix_overhead": found.pop("mix_overhead"), "mixing": found}
    if part == "synthesis":
        found = figures([*here, "benchmarks.speed.synthesis"], folder)
        return {"synth_scaling": found.pop("synth_scaling"), "synthesis": found}
    return {"demo_seconds": demo_seconds(folder)}


def main() -> None:
    """Run the parts asked for and write the file after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--pythae", default=sys.executable, help="a Python that has pythae")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--json", type=Path, required=True)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])
    kept = json.loads(asked.json.read_text(encoding="utf-8")) if asked.json.exists() else {}
    failed = list[str]()
    for part in asked.only:
        print(f"== {part}", flush=True)
        start, load = time.perf_counter(), os.getloadavg()[0]
        try:
            with tempfile.TemporaryDirectory() as folder:
                found = measure(part, asked.device, asked.pythae, Path(folder))
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{part} failed: {error}", flush=True)
            failed.append(part)
            continue
        device = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"
        how = {
            "seconds": round(time.perf_counter() - start, 1),
            "load_before": round(load, 2),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }
        kept = (
            {"gpu": None}
            | kept
            | found
            | {
                "schema": 1,
                "device": device,
                "measured": kept.get("measured", {}) | {part: how},
                "command": "make bench",
            }
        )
        write_json(asked.json, kept)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
