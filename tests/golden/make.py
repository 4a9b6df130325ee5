"""Write the golden files of this version: what a user of today keeps, for the readers of all later
versions to read.

    .venv/bin/python -m tests.golden.make 0.1.0

makes ``tests/golden/0.1.0``. A folder that is there is never written again: a new form of a file
gets a new folder.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import augmentor
from augmentor.data.synthetic_store import read_set
from pipelines.config import Config, config_from
from pipelines.gain.run import gain_run
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run
from pipelines.semi.run import semi_run

TINY = {
    "source": {
        "family": "cgan",
        "steps": 2,
        "batch_size": 4,
        "options": {"width": 1, "latent_dim": 2},
    },
    "classifier": {"steps": 2, "batch_size": 8},
    "device": "cpu",
    "threads": 1,
}


def tiny(**sections: Any) -> Config:
    """A job of a second on digits."""
    return config_from({**TINY, "data": {"data": "digits", "per_class": 2}, **sections})


def make(folder: Path) -> None:
    """Write one of each, and beside them what a reader must find in them."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as made:
        run = Path(made) / "run"
        train_run(tiny(), run)
        shutil.copytree(
            run,
            folder / "run",
            ignore=shutil.ignore_patterns("lock", "log.jsonl", "samples", "tensorboard"),
        )
        gain_run(tiny(gain={"arms": ["real", "synthetic"], "replicates": 2}), Path(made) / "gain")
        semi = {
            "labels": [10],
            "subsets": 2,
            "methods": ["classical", "pseudo_label"],
            "default_method": "classical",
        }
        semi_run(tiny(data={"data": "digits"}, semi=semi), Path(made) / "semi")
        for name in ("gain", "semi"):
            shutil.copy(Path(made) / name / f"{name}.json", folder)
    for form in ("folder", "shards"):
        target = folder / f"set-{form}"
        synthesize_run(folder / "run", target, per_class=1, classes=["3", "7"], format=form)
        (target / "lock").unlink()
        (folder / f"set-{form}.contact_sheet.png").unlink()
    (folder / "expected.json").write_text(
        json.dumps(contents(folder), indent=1) + "\n", encoding="utf-8"
    )


def contents(folder: Path) -> dict[str, Any]:
    """What today's readers find in the files, shortened."""
    source = augmentor.load(folder / "run")
    sets = {form: read_set(folder / f"set-{form}") for form in ("folder", "shards")}
    gain, semi = (
        json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("gain", "semi")
    )
    return {
        "classes": list(source.classes),
        "image_shape": list(source.image_shape),
        "sample": [
            round(value, 5)
            for value in source.sample(label="3", n=1, seed=5).flatten()[:8].tolist()
        ],
        "sets": {
            form: (one.images.x[:, 0, 0, :4] * 127.5 + 127.5).round().tolist()
            for form, one in sets.items()
        },
        "recipes": {form: one.recipe.hash for form, one in sets.items()},
        "trained_on": {form: len(one.trained_on) for form, one in sets.items()},
        "gain": {name: arm["mean"] for name, arm in gain["arms"].items()},
        "semi": {name: table["10"]["mean"] for name, table in semi["methods"].items()},
    }


if __name__ == "__main__":
    make(Path(__file__).parent / sys.argv[1])
