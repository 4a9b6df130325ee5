from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.common.types import DataError, DivergedError, LabelledImages
from augmentor.data.fingerprint import fingerprints, overlap
from downstream.arms.recipe import Recipe
from downstream.arms.table import ARMS
from downstream.evaluate import predict_logits
from downstream.metrics import Outputs
from pipelines import cli, datasets, pool
from pipelines.config import Config, ConfigError, config_from, load_config
from pipelines.datasets import DataBundle, load_data
from pipelines.experiment.engine import PART_MADE, Workers
from pipelines.experiment.parts import PartStore
from pipelines.experiment.plan import parts_of, plan_rows
from pipelines.experiment.setting import Setting, setting_of
from pipelines.interrupt import Interrupted, Watch
from pipelines.results import read_result
from pipelines.run_dir import RunDir, RunLockedError
from pipelines.semi import gan_parts
from pipelines.semi import run as semi
from pipelines.semi.gan_methods import GanHead, GanMaterial
from pipelines.semi.gan_parts import SemiTask, gan_group, make_semi
from pipelines.semi.methods import METHODS, known_methods, words_of
from pipelines.semi.plan import semi_plan
from pipelines.semi.run import semi_run
from pipelines.semi.scores import ERROR
from pipelines.workbench import training_parts
from pipelines.workbench.training_parts import POINTS, Curve, training_part
from pipelines.workbench.workbench import Workbench

TINY: dict[str, Any] = {
    "data": {"data": "digits", "size": 8},
    "source": {"steps": 2, "batch_size": 16, "options": {"width": 8}},
    "pool": {"rounds": 1, "threshold": 0.1},
    "classifier": {"steps": 3, "batch_size": 16},
    "semi": {
        "labels": [20, 40],
        "subsets": 2,
        "methods": ["supervised", "classical"],
        "default_method": "classical",
        "gan_steps": 2,
        "consistency_steps": 3,
    },
    "device": "cpu",
    "threads": 1,
}
ONE = {"labels": [20], "subsets": 1}


def tiny(**changes: Any) -> Config:
    """Everything real, but with a few steps only."""
    whole = dict(TINY)
    for key, value in changes.items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
    return config_from(whole)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the parts that were made."""
    labels: list[str] = []

    def recording(task: SemiTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
        def told(note: str) -> None:
            if note.startswith(PART_MADE):
                labels.append(note.removeprefix(PART_MADE))
            on_part(note)

        make_semi(task, told, watch)

    monkeypatch.setattr(semi, "make_semi", recording)
    return labels


def named(*cells: tuple[int, int, str]) -> list[str]:
    return [f"{labels} labels, subset {subset}, {method}" for labels, subset, method in cells]


def without_times(path: Path) -> dict[str, Any]:
    result = read_result(path / "semi.json", "semi")
    return {key: value for key, value in result.items() if key not in ("seconds", "command")}


def setting(labels: int = 20) -> Setting:
    plain = setting_of(tiny())
    return replace(plain, fixmatch_steps=3).with_labels(labels)


def logits(method: Recipe | GanHead, bundle: DataBundle, seed: int) -> Tensor:
    """What a method that was trained on a bundle says about its test images."""
    assert bundle.pool is not None
    if isinstance(method, Recipe):
        bench = Workbench(bundle.train, bundle.pool, setting(), seed)
        return predict_logits(bench.classifier(method), bundle.test.x)
    material = GanMaterial(bundle.train, bundle.pool, setting(), seed, 2, lambda *_: None)
    return method.train(material)(bundle.test.x)


def test_a_run_writes_result_tables_and_report(tmp_path: Path, made: list[str]) -> None:
    result = semi_run(tiny(), tmp_path)
    assert read_result(tmp_path / "semi.json", "semi") == json.loads(
        json.dumps({"schema": 2, **result})
    )
    order = [(n, s, m) for s in (0, 1) for n in (20, 40) for m in ("supervised", "classical")]
    assert made == named(*order)
    for found in result["methods"].values():
        assert list(found) == ["20", "40"]
        assert all(len(one["errors"]) == 2 for one in found.values())
    rows = result["differences"]
    assert [(row["method"], row["baseline"], row["labels"]) for row in rows] == [
        ("classical", "supervised", 20),
        ("classical", "supervised", 40),
    ]
    first = {name: found["20"]["errors"] for name, found in result["methods"].items()}
    pairs = zip(first["classical"], first["supervised"], strict=True)
    assert rows[0]["delta"] == pytest.approx(sum(a - b for a, b in pairs) / 2)
    assert (result["scored_on"], result["metric"]) == ("test", "error")
    assert result["images"] == {"training": 901, "scored": 896}
    assert (tmp_path / "semi.md").read_text().startswith("# digits")
    page = (tmp_path / "report.html").read_text()
    assert "<h1>" in page
    assert semi.report_again(load_config(tmp_path / "config.yaml"), tmp_path).read_text() == page


def test_a_result_tells_its_setup(tmp_path: Path) -> None:
    setup = semi_run(tiny(semi=ONE), tmp_path)["setup"]
    assert (setup["data"], setup["regime"]) == (
        "digits",
        "20 labels, the other training images without",
    )
    assert (setup["classifier"], setup["first weights"]) == ("auto", "random")
    assert (setup["classifier steps"], setup["classifier batch"]) == (3, 16)
    assert setup["seeds of the subsets"] == [setting_of(tiny()).replicate_seed(0)]
    assert setup["screening"] is False
    assert "generator" not in setup
    assert "FixMatch steps" not in setup


def test_the_steps_of_the_methods_that_run_are_in_the_setup(tmp_path: Path) -> None:
    methods = ["fixmatch", "improved_gan", "head_cvae_gan"]
    plan = semi_plan(tiny(semi=ONE | {"methods": methods}), tmp_path)
    setup = semi.setup_of(plan)
    assert setup["FixMatch steps"] == 3
    assert setup["improved_gan"].endswith(", 2 steps")
    assert (setup["generator"], setup["generator steps"]) == ("cvae_gan, default preset", 2)


def test_a_part_holds_what_its_method_says_and_stays_small(tmp_path: Path) -> None:
    config = tiny(semi=ONE | {"methods": ["classical"]})
    result = semi_run(config, tmp_path)
    plan = semi_plan(config, tmp_path)
    ((part,),) = (trial.parts.values() for trial in plan.trials)
    finished, seed = plan.store.read(part), plan.trials[0].seed
    bundle = setting().bundle(seed)
    said = logits(METHODS["classical"], bundle, seed).softmax(dim=1).half()
    error = ERROR.of(Outputs(y=bundle.test.y, class_probs=said))
    assert result["methods"]["classical"]["20"]["errors"] == [pytest.approx(error)]
    assert [point["step"] for point in finished.content["curve"]] == [1, 2, 3]
    assert plan.store.path(part).stat().st_size < 896 * 10 * 2 + 10_000


def test_a_gan_head_leaves_probabilities_and_a_curve_and_tells_of_its_steps(tmp_path: Path) -> None:
    store, told = PartStore(tmp_path), list[str]()
    group = gan_group(setting(), "20 labels, subset 0", 5, "improved_gan", 2, store)
    make_semi(group.task, told.append, None)
    make_semi(group.task, told.append, None)  # there is nothing left to do
    name = "20 labels, subset 0, improved_gan"
    assert told == [f"{name}: step 1 of 2", f"{name}: step 2 of 2", PART_MADE + name]
    finished = store.read(group.parts[0])
    assert finished.tensors["class_probs"].shape == (896, 10)
    assert [point["step"] for point in finished.content["curve"]] == [1, 2]
    assert finished.seconds["improved_gan"] >= 0


def test_a_gan_head_depends_on_what_it_reads_only(tmp_path: Path) -> None:
    def digest(method: str, of: Setting, gan_steps: int = 2) -> str:
        return gan_group(of, "one", 5, method, gan_steps, PartStore(tmp_path)).parts[0].digest

    def changed(**changes: Any) -> Setting:
        return setting_of(tiny(**changes)).with_labels(20)

    usual, more = changed(), changed(source={"steps": 3})
    assert digest("improved_gan", usual) == digest("improved_gan", more)
    assert digest("improved_gan", usual) != digest("improved_gan", usual, gan_steps=3)
    assert digest("head_cvae_gan", usual) == digest("head_cvae_gan", usual, gan_steps=3)
    for other in (more, changed(pool={"threshold": 0.2}), changed(classifier={"steps": 4})):
        assert digest("head_cvae_gan", usual) != digest("head_cvae_gan", other)


def test_parts_whose_labels_come_from_a_graph_know_which_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a run that is resumed after the graph has changed would mix two kinds of trainings."""

    def digests(name: str, **changes: Any) -> set[str]:
        found, arm = set(), ARMS[name].recipe
        assert arm is not None
        for code in (1, 2):
            for module in (pool, training_parts):
                monkeypatch.setattr(module, "GRAPH_CODE", code)
            of = setting_of(tiny(**changes)).with_labels(20)
            found.add(training_part(of, name, 0, arm, Recipe(), has_pool=True).digest)
        return found

    assert len(digests("graph_fixmatch")) == 2
    assert len(digests("pseudo_label", pool={"method": "graph"})) == 2
    assert len(digests("pseudo_label")) == len(digests("fixmatch")) == len(digests("mixup")) == 1


def test_subsets_are_balanced_apart_from_the_test_images_and_equal_for_equal_seeds() -> None:
    one, again, other = (setting().bundle(seed) for seed in (0, 0, 1))
    assert one.pool is not None
    assert again.pool is not None
    assert set(one.train.counts.values()) == {2}
    assert torch.equal(one.train.x, again.train.x)
    assert torch.equal(one.pool, again.pool)
    assert not torch.equal(one.train.x, other.train.x)
    assert len(one.train) + len(one.pool) == 901
    parts = [fingerprints(x) for x in (one.train.x, one.pool, one.test.x)]
    assert [len(overlap(a, b)) for a, b in [(parts[0], parts[2]), (parts[1], parts[2])]] == [0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_the_true_labels_of_unlabelled_images_change_nothing(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = datasets._load_named(tiny().data)
    chosen = datasets.few_labels(full.train.y, 20, 3)
    predicted = logits(METHODS[method], setting().bundle(3), 3)

    poisoned = full.train.y.clone()
    hidden = torch.ones(len(poisoned), dtype=torch.bool)
    hidden[chosen] = False
    wrong = 1 + torch.arange(int(hidden.sum())) % 9
    poisoned[hidden] = (poisoned[hidden] + wrong) % 10
    train = LabelledImages(full.train.x, poisoned, full.train.classes)
    monkeypatch.setattr(datasets, "_load_named", lambda data: replace(full, train=train))
    monkeypatch.setattr(datasets, "few_labels", lambda *_: chosen)  # the same images keep theirs
    assert torch.equal(logits(METHODS[method], setting().bundle(3), 3), predicted)


def test_one_deleted_part_is_made_again_and_nothing_else(tmp_path: Path, made: list[str]) -> None:
    semi_run(tiny(), tmp_path)
    before = without_times(tmp_path)
    (lost,) = (tmp_path / "parts").glob("training-40-labels-subset-1-classical-*")
    lost.unlink()
    made.clear()
    semi_run(tiny(), tmp_path)
    assert made == named((40, 1, "classical"))
    assert without_times(tmp_path) == before


def test_a_run_cut_off_in_a_training_resumes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    semi_run(tiny(), tmp_path / "whole")
    recording, asked = semi.make_semi, list[SemiTask]()

    def told_to_stop(task: SemiTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
        assert watch is not None
        asked.append(task)
        if len(asked) == 2:
            watch.signum = signal.SIGTERM
        recording(task, on_part, watch)

    monkeypatch.setattr(semi, "make_semi", told_to_stop)
    made.clear()
    with pytest.raises(Interrupted):
        semi_run(tiny(), tmp_path / "cut")
    assert made == named((20, 0, "supervised"), (20, 0, "classical"))
    assert not (tmp_path / "cut" / "semi.json").exists()
    monkeypatch.setattr(semi, "make_semi", recording)
    made.clear()
    semi_run(tiny(), tmp_path / "cut")
    assert made[0] == "40 labels, subset 0, supervised"
    assert len(made) == 6
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")


def test_more_methods_subsets_and_labels_keep_the_parts_and_other_steps_do_not(
    tmp_path: Path, made: list[str]
) -> None:
    few = ONE | {"methods": ["classical"]}
    semi_run(tiny(semi=few), tmp_path)
    semi_run(tiny(semi={"methods": ["pseudo_label", "classical"]}), tmp_path)
    assert made.count("20 labels, subset 0, classical") == 1
    assert len(made) == 2 * 2 * 2
    made.clear()
    for other in ({"classifier": {"steps": 2}}, {"semi": few | {"screening": True}}, {"seed": 1}):
        semi_run(tiny(**{"semi": few} | other), tmp_path)
    assert made == 3 * named((20, 0, "classical"))


def test_the_other_methods_can_be_run_on_less(tmp_path: Path, made: list[str]) -> None:
    result = semi_run(tiny(semi={"baseline_labels": [40], "baseline_subsets": 1}), tmp_path)
    classical = [(n, s, "classical") for s in (0, 1) for n in (20, 40)]
    assert sorted(made) == sorted(named((40, 0, "supervised"), *classical))
    assert result["methods"]["supervised"].keys() == {"40"}
    (row,) = result["differences"]
    assert (row["labels"], row["pairs"], row["ci95"], row["p"]) == (40, 1, None, None)


def test_baseline_labels_that_do_not_run_are_refused(tmp_path: Path, made: list[str]) -> None:
    """The other methods would not run at all, and only what is missing would tell."""
    with pytest.raises(ConfigError, match=r"semi\.baseline_labels: 40 is none of semi\.labels"):
        semi_run(tiny(semi=ONE | {"baseline_labels": [40]}), tmp_path)
    assert made == []


def test_where_the_default_method_did_not_run_the_first_one_takes_its_place(tmp_path: Path) -> None:
    result = semi_run(tiny(semi=ONE | {"default_method": "fixmatch"}), tmp_path)
    assert result["default_method"] == "supervised"
    (row,) = result["differences"]
    assert (row["method"], row["baseline"]) == ("supervised", "classical")
    assert any("fixmatch, the default method, did not run" in note for note in result["notes"])
    assert result["notes"][-1].startswith("subsets share unlabelled images: intervals of what")


def test_arms_that_render_nothing_run_by_name(tmp_path: Path, made: list[str]) -> None:
    methods = ["supervised", "oversample", "mixup"]
    result = semi_run(tiny(semi=ONE | {"methods": methods}), tmp_path)
    assert list(result["methods"]) == methods
    assert made == named((20, 0, "supervised"), (20, 0, "mixup"))  # one recipe, one part
    assert result["methods"]["supervised"] == result["methods"]["oversample"]
    assert {"synthetic", "synthetic+classical", "auto"}.isdisjoint(known_methods())
    assert all(words_of(name) for name in known_methods())


def test_nothing_below_the_plan_asks_for_what_a_finished_run_has(
    tmp_path: Path, made: list[str]
) -> None:
    semi_run(tiny(semi=ONE), tmp_path)
    made.clear()
    again = load_config(tmp_path / "config.yaml")
    assert again == tiny(semi=ONE)
    semi_run(again, tmp_path)
    assert made == []


def test_the_plan_counts_what_is_trained(tmp_path: Path) -> None:
    methods = ["supervised", "pseudo_label", "improved_gan", "head_cvae_gan"]
    config = tiny(semi={"methods": methods, "default_method": "pseudo_label"})
    plan = semi_plan(config, tmp_path)
    rows = {row.what: row.count for row in plan_rows(plan.groups, plan.store)}
    # The head labels the pool for its generator itself.
    assert rows == {"training": 8, "gan_head": 8, "pool labels": 8, "generator": 4}
    assert len({part.digest for part in parts_of(plan.groups)}) == 16
    # 2 or 4 labels of a class with 89 to 92 images
    assert plan.overlaps == {
        20: pytest.approx(2 / 90, rel=0.03),
        40: pytest.approx(4 / 90, rel=0.03),
    }


def test_a_screening_never_looks_at_a_test_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    config = tiny(semi={"screening": True, "methods": ["improved_gan"]})
    test, full = load_data(config.data, 0).test.x, load_data(config.data, 0).train

    def watched(material: GanMaterial) -> Callable[[Tensor], Tensor]:
        seen.extend([material.train.x, material.pool])

        def predict(x: Tensor) -> Tensor:
            seen.append(x)
            return torch.zeros(len(x), 10)

        return predict

    head = GanHead("watched", watched, on_generator=False)
    monkeypatch.setitem(gan_parts.GAN_HEADS, "improved_gan", head)
    result = semi_run(config, tmp_path)
    usual = {setting_of(config).replicate_seed(subset) for subset in range(2)}
    assert usual.isdisjoint(result["setup"]["seeds of the subsets"])
    assert len(seen) == 2 * 2 * 3
    assert len(overlap(fingerprints(torch.cat(seen)), fingerprints(test))) == 0
    scored, used = fingerprints(seen[2]), fingerprints(torch.cat(seen[:2]))
    assert len(overlap(scored, used)) == 0
    assert all((fingerprints(x) == scored).all() for x in seen[2::3])  # the same for all subsets
    assert len(scored) + len(used) == len(full)
    assert result["scored_on"] == "held-out training images"
    assert result["images"]["scored"] == len(scored) == pytest.approx(901 / 6, abs=10)
    assert "held out instead of the test images" in result["notes"][0]
    assert "the test images were not read" in (tmp_path / "report.html").read_text()


def test_probabilities_that_are_not_finite_name_their_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(semi=ONE | {"methods": ["improved_gan"], "default_method": "improved_gan"})

    def broken(material: GanMaterial) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.full((len(x), 10), float("nan"))

    monkeypatch.setitem(gan_parts.GAN_HEADS, "improved_gan", GanHead("", broken, False))
    with pytest.raises(DivergedError, match="20 labels, subset 0, improved_gan: class prob"):
        semi_run(config, tmp_path)
    assert not list((tmp_path / "parts").glob("*.safetensors"))
    plan = semi_plan(config, tmp_path)
    (part,) = parts_of(plan.groups)
    probs = torch.full((896, 10), float("nan"))
    plan.store.write(part, {"curve": []}, {"class_probs": probs}, seconds={}, device="cpu")
    with pytest.raises(DivergedError, match="20 labels, subset 0, improved_gan: class prob"):
        semi_run(config, tmp_path)


def test_a_head_that_diverges_names_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(material: GanMaterial) -> Callable[[Tensor], Tensor]:
        raise DivergedError("loss game not finite")

    monkeypatch.setitem(gan_parts.GAN_HEADS, "improved_gan", GanHead("", diverging, False))
    config = tiny(semi=ONE | {"methods": ["improved_gan"]})
    with pytest.raises(DivergedError, match="subset 0, improved_gan: loss game not finite"):
        semi_run(config, tmp_path)


def test_a_folder_of_images_works_too(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    make_folder(tmp_path / "pets", {"cat": 12, "dog": 12}, mode="L")
    data = {"data": str(tmp_path / "pets"), "size": 8}
    quick = {"labels": [4], "subsets": 1, "screening": True}
    result = semi_run(tiny(data=data, semi=quick), tmp_path / "out")
    assert (result["dataset"], result["images"]) == ("pets", {"training": 16, "scored": 2})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (
            {"semi": {"methods": ["magic"]}},
            "semi.methods: unknown method 'magic'; known: supervised, classical, pseudo_label",
        ),
        ({"semi": {"methods": ["synthetic"]}}, "unknown method 'synthetic'"),
        ({"semi": {"methods": ["auto"]}}, "unknown method 'auto'"),
        ({"semi": {"methods": ["classical", "classical"]}}, "named twice"),
        ({"semi": {"default_method": "magic"}}, "semi.default_method: unknown method 'magic'"),
        ({"semi": {"labels": [9]}}, "at least the number of classes"),
        ({"data": {"labels": 20}}, "semi draws its own subsets"),
        ({"data": {"per_class": 20}}, "semi draws its own subsets"),
        ({"classifier": {"name": "magic"}}, "classifier.name"),
        ({"source": {"family": "magic"}}, "source.family"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_work(
    changes: dict[str, Any], word: str, tmp_path: Path, made: list[str]
) -> None:
    with pytest.raises(ConfigError, match=word):
        semi_run(tiny(**changes), tmp_path)
    assert made == []


def test_too_many_labels_are_bad_data(tmp_path: Path) -> None:
    said = "semi.labels: 900 labels ask for 90 images of a class, and class '8' has 87: .* most 870"
    with pytest.raises(DataError, match=said):
        semi_run(tiny(semi={"labels": [20, 900]}), tmp_path)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with RunDir(tmp_path).lock(), pytest.raises(RunLockedError):
        semi_run(tiny(), tmp_path)


def test_tasks_travel_to_workers(tmp_path: Path) -> None:
    config = tiny(semi=ONE | {"methods": ["supervised", "improved_gan"]})
    plan = semi_plan(config, tmp_path)
    tasks = [group.task for group in plan.groups]
    assert [type(task).__name__ for task in tasks] == ["TrainingTask", "GanTask"]
    told: list[tuple[int, str]] = []
    with Workers(make_semi, 2, 1, Watch()) as workers:
        workers.run(tasks, lambda index, part: told.append((index, part)))
    made = {(index, part) for index, part in told if part.startswith(PART_MADE)}
    names = ("supervised", "improved_gan")
    assert made == {(i, f"{PART_MADE}20 labels, subset 0, {name}") for i, name in enumerate(names)}
    assert plan.store.missing(parts_of(plan.groups)) == []


@pytest.mark.parametrize("steps", [1, 7, 49, 50, 51, 1234])
def test_a_curve_has_at_most_fifty_points_and_the_last_step(steps: int) -> None:
    curve = Curve()
    added = [curve.add(step, steps, {"loss": 1 / step}) for step in range(1, steps + 1)]
    assert sum(added) == len(curve.values) == min(steps, POINTS)
    assert curve.values[-1] == {"step": steps, "loss": float(f"{1 / steps:.5g}")}


def test_a_curve_keeps_no_infinity() -> None:
    curve = Curve()
    curve.add(1, 1, {"loss": float("inf"), "share": 0.123456789})
    assert curve.values == [{"step": 1, "loss": None, "share": 0.12346}]


def test_the_command_prints_one_json_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--labels 20 --subsets 1 --methods supervised,pseudo_label --classifier-steps 2"
    options += f" --threads 1 --screening --data digits --device cpu --out {tmp_path}"
    arguments = ["semi", *options.split()]
    assert cli.main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    stored = read_result(tmp_path / "semi.json", "semi")
    assert printed == {key: value for key, value in stored.items() if key != "schema"}
    assert list(printed["methods"]) == ["supervised", "pseudo_label"]
    assert printed["scored_on"] == "held-out training images"
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert text.startswith("method")
    assert printed["verdict"]["advice"] in text
    assert cli.main(["semi", "--data", "digits", "--labels", "20,many"]) == 2
    assert "whole numbers such as 20,100" in capsys.readouterr().err
