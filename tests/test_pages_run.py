"""The commands and snippets of the documents, run as they stand and in order, on tiny images with
all trainings shortened."""

import json
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from augmentor.families import FAMILIES
from augmentor.sampling import filters
from downstream.arms.table import ARMS
from downstream.augmentations import AUGMENTATIONS
from downstream.metrics import METRICS
from pipelines import cli
from pipelines.cli import commands, settings
from pipelines.config import ClassifierConfig, Config
from pipelines.data.table import NAMED_DATA
from pipelines.evaluate.run import evaluate_run
from pipelines.gain import demo
from pipelines.gain.verdict import verdict
from pipelines.generators.quality import EvaluateSettings
from pipelines.python import settings as python_settings
from tests.pipelines.faces import photo, write_pairs, write_photos
from tests.test_readme import run

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# In the order in which a reader makes what later pages use.
PAGES = [
    "tutorial",
    "how-to/own-folder",
    "how-to/data-by-name",
    "how-to/another-generator",
    "how-to/trained-classifier",
    "how-to/python",
    "how-to/generator",
    "how-to/torchvision",
    "how-to/albumentations",
    "how-to/imbalanced-learn",
    "how-to/hugging-face",
    "how-to/few-labels",
    "how-to/verification",
    "how-to/edit",
    "how-to/policies",
    "how-to/missing-combinations",
    "how-to/many-machines",
    "how-to/troubleshooting",
    "extending",
]
TEXTS = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in PAGES}
# A fenced block, or the command in a row of the table of editing operations.
BLOCK = re.compile(
    r"```(bash|python|yaml)\n(.*?)```|^\| `(augmentor [^`\n]+)`", flags=re.DOTALL | re.MULTILINE
)


pytestmark = pytest.mark.xdist_group("pages")  # groups begin first, and this one is long


def blocks(text):
    return [(found[1] or "bash", found[2] or found[3]) for found in BLOCK.finditer(text)]


FEW = 2


def shortened(config: Config) -> Config:
    """The config with what costs time made small; which data, arms, methods, families and policies
    stays."""
    families = config.compare.families and {
        name: variant.model_copy(update={"options": variant.options | _narrow(name)})
        for name, variant in config.compare.families.items()
    }
    # A comparison refuses a source that was given options.
    narrow = {} if families else {"options": config.source.options | _narrow(config.source.family)}
    smaller = {
        "data": {"size": 8},
        "source": {"steps": FEW, "batch_size": 16} | narrow,
        "classifier": {"steps": FEW, "batch_size": 16},
        "pool": {"threshold": 0.0, "rounds": 1},
        "gain": {
            "replicates": 2,
            "processes": 1,
            "screening_rounds": 2,
            "rehearsal_folds": 1,
            "shares": (0.5,),
            "confidences": (0.0,),
        },
        "semi": {"subsets": 1, "consistency_steps": FEW, "gan_steps": FEW},
        "compare": {"families": families, "samples": 60, "judge_steps": FEW, "student_steps": FEW},
        "verify": {"replicates": 1},
    }
    sections = {
        name: getattr(config, name).model_copy(update=update) for name, update in smaller.items()
    }
    return config.model_copy(update=sections | {"threads": 1, "device": "cpu"})


def _narrow(family):
    known = FAMILIES[family].options_for("default", {})
    return {
        name: value for name, value in (("width", 4), ("latent_dim", 8)) if hasattr(known, name)
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the data the pages speak of, where every training is short, no filter is
    strict, and what is added to a table is taken out again."""
    monkeypatch.chdir(tmp_path)
    start = demo.start_config
    monkeypatch.setattr(demo, "start_config", lambda name: shortened(start(name)))
    read, keep = commands.config_of, filters.confidence_filter
    made = python_settings.config_from
    monkeypatch.setattr(
        python_settings, "config_from", lambda *given, **asked: shortened(made(*given, **asked))
    )
    for module in (commands, settings):
        monkeypatch.setattr(
            module, "config_of", lambda *given, **asked: shortened(read(*given, **asked))
        )
    for module in (
        "augmentor.sampling.filters",
        "pipelines.generators.filter_judge",
        "pipelines.workbench.workbench",
    ):
        monkeypatch.setattr(
            f"{module}.confidence_filter", lambda predict, threshold: keep(predict, 0.0)
        )
    short = ClassifierConfig(steps=FEW)
    monkeypatch.setitem(
        evaluate_run.__kwdefaults__, "settings", EvaluateSettings(judge=short, student=short)
    )
    torch.manual_seed(0)
    _photos(tmp_path)
    _people(tmp_path)
    _screws(tmp_path)
    _sets(tmp_path)
    with ExitStack() as tables:
        for table in (FAMILIES, METRICS, ARMS, AUGMENTATIONS, NAMED_DATA):
            tables.enter_context(patch.dict(table))
        yield tmp_path


def test_the_way_through_the_pages(place, capsys):
    left = {}
    for page in PAGES:
        left[page] = names = {}  # a page stands alone: it imports what it uses
        for language, text in blocks(TEXTS[page]):
            if language == "yaml":
                (place / text.splitlines()[0].removeprefix("# ")).write_text(text)
            else:
                run(language, _shortened_numbers(text), names)
    for file in (
        "photos-gain/report.html",
        "photos-rendered/gain.json",
        "photos-policies/gain.json",
        "photos-families/compare.json",
        "screws-hidden/gain.json",
        "screws/filled.contact_sheet.png",
    ):
        assert (place / "runs" / file).is_file()
    rehearsed = json.loads((place / "runs" / "screws-gain" / "gain.json").read_text())
    assert "real photos would give" in rehearsed["verdict"]["advice"].lower()
    counts = Counter(left["how-to/missing-combinations"]["filled"].targets)
    assert len(set(counts.values())) == 1, counts  # of three cameras each, equally many
    arrays, few = left["how-to/imbalanced-learn"], left["how-to/few-labels"]
    assert len(arrays["X_more"]) > len(arrays["X"])
    assert few["predicted"].shape == few["few"].test.y.shape
    assert left["extending"]["result"].arms["erase"]["mean"] > 0
    assert (place / "kept" / "gain.json").is_file()
    assert "SyntheticMix(" in capsys.readouterr().out


def _shortened_numbers(text):
    """Steps that are said in the page itself; and loaders without workers, whose forks of a process
    that tests and measures coverage do not always end well (workers have tests of their own).
    """
    fewer = re.sub(r"(\bsteps=|\"steps\": |--judge-steps )\d{3,}", rf"\g<1>{FEW}", text)
    return re.sub(r"num_workers=\d", "num_workers=0", fewer)


def _photos(root):
    rng = np.random.default_rng(0)

    def write(folder, base, count):
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            pixels = rng.integers(base - 40, base + 40, (10, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02}.jpg")

    for name, base, count in (("cat", 50, 46), ("dog", 120, 42), ("horse", 200, 38)):
        write(root / "photos" / "train" / name, base, count)
        write(root / "photos" / "test" / name, base, 8)
        write(root / "more-photos" / name, base, 8)
        (root / "rendered" / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(base - 40, base + 40, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "rendered" / name / f"{number}.png")


def _screws(root):
    """Training saw rusty ones by the camera "south" only; the same photos lie in folders too."""
    rng = np.random.default_rng(1)
    for part, count in (("train", 6), ("test", 3)):
        rows = ["file_name,camera"]
        for kind, base in (("good", 60), ("bent", 120), ("rusty", 190)):
            number = 0
            for camera in ("south", "north", "east"):
                if (part, kind) == ("train", "rusty") and camera != "south":
                    continue
                for _ in range(count):
                    number += 1
                    pixels = rng.integers(base - 50, base + 50, (10, 12, 3), dtype=np.uint8)
                    name = f"{number:02}.jpg"
                    for folder in (
                        Path("screws", part, kind),
                        Path("screws-by-camera", part, kind, camera),
                    ):
                        (root / folder).mkdir(parents=True, exist_ok=True)
                        Image.fromarray(pixels).save(root / folder / name)
                    rows.append(f"{kind}/{name},{camera}")
        (root / "screws" / part / "metadata.csv").write_text("\n".join(rows) + "\n")


def _sets(root):
    """A data set in torchvision's layout, for the name that a page adds."""
    rng = np.random.default_rng(2)
    for part in ("train", "test"):
        for name, base in (("AD", 60), ("AE", 190)):
            folder = root / "sets" / "country211" / part / name
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = rng.integers(base - 50, base + 50, (10, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.jpg")


def _people(root):
    names = ("ann", "bob", "cem", "dora")
    write_photos(root / "people" / "train", names, photos=6)
    for person, name in enumerate(names):
        (root / "people" / "test" / name).mkdir(parents=True)
        Image.fromarray(photo(person, 99)).save(root / "people" / "test" / name / "01.png")
    write_pairs(root / "pairs")


def test_every_shell_line_is_a_command_of_augmentor():
    shell = [text for page in PAGES for kind, text in blocks(TEXTS[page]) if kind == "bash"]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    words = [line.split() for line in lines if line.strip()]
    assert {first for first, *_ in words} == {"augmentor", "export", "make"}
    asked = [line for line in words if line[0] == "augmentor"]
    used = {line[1] for line in asked} | {line[2] for line in asked if line[1] == "edit"}
    assert used >= {*cli.cli.commands, *cli.edit.commands}


def test_every_page_of_how_to_is_run():
    found = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.glob("how-to/*.md")}
    assert found <= set(PAGES)


@pytest.mark.parametrize(
    ("deltas", "outcomes"),
    [
        ((0.021, 0.03), ("better", "better")),
        ((0.021, 0.004), ("better", "undecided")),
        ((-0.03, -0.02), ("worse", "worse")),
    ],
)
def test_the_verdicts_it_shows_are_those_of_gain(deltas, outcomes):
    shown = TEXTS["how-to/own-folder"].splitlines()
    bases = ["classical", "pseudo_label"]
    rows = []
    for base, delta, outcome in zip(bases, deltas, outcomes, strict=True):
        row = {"arm": "synthetic+classical", "baseline": base, "delta": delta, "outcome": outcome}
        row |= {"ci95": [delta - 0.012, delta + 0.011], "p_holm": 0.01}
        rows.append(row)
    mixtures = {"synthetic+classical": "classical + 50% synthetic"}
    told = {"policy": None, "mixtures": mixtures, "metric": "balanced_accuracy"}
    told |= {"comparisons": rows, "replicates": 10, "scored_on": "test"}
    assert verdict(told, bases)["advice"] in shown
    assert verdict(told | {"replicates": 2}, bases)["advice"] in shown
    assert verdict(told | {"comparisons": []}, bases[:1])["advice"] in shown
