from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from augmentor.common.types import DataError, DivergedError
from downstream.train import NonFiniteLossError
from pipelines.config import Config, load_config
from pipelines.experiment.plan import parts_of
from pipelines.verify import run
from pipelines.verify.plan import VerifyPlan, verify_plan
from pipelines.verify.run import make_verifiers, verify_run
from tests.pipelines.faces import write_pairs, write_people
from tests.pipelines.html_page import Page
from tests.pipelines.verify.test_run import config_for, write_synthetic


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_people(tmp_path / "people")
    write_pairs(tmp_path / "pairs")
    write_synthetic(tmp_path / "new", {"n0": 70})
    return tmp_path


def plan(root: Path, **verify: Any) -> VerifyPlan:
    return verify_plan(config_for(root, **verify), root / "out")


def names(found: VerifyPlan) -> list[str]:
    return [part.file_name for part in parts_of(found.groups)]


def test_a_replicate_is_a_group_with_a_part_per_arm(root: Path) -> None:
    found = plan(root, synthetic=[str(root / "new")], replicates=2)
    assert [len(group.parts) for group in found.groups] == [2, 2]
    assert len(set(names(found))) == 4
    assert found.groups[0].task.seed != found.groups[1].task.seed
    assert found.overlap == 1


def test_what_decides_a_part_is_in_its_name_and_nothing_else(root: Path) -> None:
    base = names(plan(root))
    assert names(plan(root, processes=2, replicates=3))[:1] == base
    assert names(plan(root, synthetic=[str(root / "new")]))[:1] == base
    assert names(plan(root, scale=12.0)) == base  # the softmax has no scale
    changed = [plan(root, head="arcface"), plan(root, head="arcface", scale=12.0)]
    changed += [plan(root, train_folds=[1])]
    assert len({*base, *(names(one)[0] for one in changed)}) == 4

    asked = {"synthetic": [str(root / "new")]}
    arm = names(plan(root, **asked))[1]
    assert names(plan(root, **asked, synthetic_share=0.5))[1] != arm
    write_synthetic(root / "other" / "new", {"n0": 71})
    assert names(plan(root, synthetic=[str(root / "other" / "new")]))[1] != arm


def test_an_unknown_network_is_refused_by_the_plan(root: Path) -> None:
    config = config_for(root)
    classifier = config.classifier.model_copy(update={"name": "resnet19x"})
    with pytest.raises(ValueError, match="no network 'resnet19x'"):
        verify_plan(config.model_copy(update={"classifier": classifier}), root / "out")
    assert not (root / "out" / "parts").exists()


def test_every_replicate_is_checked_for_images_of_the_pairs(root: Path) -> None:
    """A photo of the pairs hides among those of which a replicate draws one."""
    twin = (root / "pairs" / "images" / "b0-0" / "0.png").read_bytes()
    (root / "people" / "train" / "a3" / "1.png").write_bytes(twin)
    values = config_for(root, replicates=20)
    config = values.model_copy(update={"data": values.data.model_copy(update={"per_class": 1})})
    with pytest.raises(DataError, match=r"learned from the image images/b0-0/0\.png"):
        verify_plan(config, root / "out")


def test_a_cut_off_replicate_makes_what_it_lacks(root: Path) -> None:
    found = plan(root, synthetic=[str(root / "new")])
    (group,) = found.groups
    said: list[str] = []
    make_verifiers(group.task, said.append, None)
    assert len(said) == 2
    found.store.path(group.parts[0]).unlink()
    before = found.store.path(group.parts[1]).stat().st_mtime_ns
    make_verifiers(group.task, said.append, None)
    assert len(said) == 3
    assert found.store.path(group.parts[1]).stat().st_mtime_ns == before


def test_a_part_keeps_similarities_and_embeddings(root: Path) -> None:
    found = plan(root)
    (group,) = found.groups
    make_verifiers(group.task, lambda _: None, None)
    tensors = found.store.read(group.parts[0]).tensors
    pairs, embeddings = found.pairs, tensors["embeddings"].float()
    again = (embeddings[pairs.first] * embeddings[pairs.second]).sum(dim=1)
    assert tensors["similarities"].dtype == torch.float32
    assert torch.allclose(again, tensors["similarities"], atol=5e-3)


def test_a_task_travels_to_a_worker(root: Path) -> None:
    asked = {"synthetic": [str(root / "new")]}
    here, there = plan(root, **asked), verify_plan(config_for(root, **asked), root / "other")
    make_verifiers(here.groups[0].task, lambda _: None, None)
    make_verifiers(pickle.loads(pickle.dumps(there.groups[0].task)), lambda _: None, None)
    for part in parts_of(here.groups):
        one, other = (store.read(part).tensors for store in (here.store, there.store))
        assert torch.equal(one["similarities"], other["similarities"])


def test_a_run_keeps_its_configuration_and_a_report(root: Path) -> None:
    config = config_for(root)
    verify_run(config, root / "out")
    assert load_config(root / "out" / "config.yaml") == config
    texts = Page((root / "out" / "report.html").read_text()).texts
    verdict = texts.index("Nothing was compared: give --synthetic or --train-folds.")
    assert texts[verdict - 1] == "No gain shown"


def test_a_training_that_diverges_names_its_part(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*args: object) -> None:
        raise NonFiniteLossError("the loss is nan at step 3")

    monkeypatch.setattr(run, "train_verifier", diverges)
    with pytest.raises(DivergedError, match=r"replicate 000, no extra data: the loss is nan"):
        verify_run(config_for(root), root / "out")


def test_features_that_are_not_finite_name_their_part(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "features", lambda model, x: torch.full((len(x), 4), torch.nan))
    with pytest.raises(DivergedError, match=r"replicate 000, no extra data: the features are not"):
        verify_run(config_for(root), root / "out")
    assert not list((root / "out").rglob("*.safetensors"))


def test_stored_similarities_that_are_not_finite_name_their_part(root: Path) -> None:
    found = plan(root)
    (part,) = parts_of(found.groups)
    tensors = {"similarities": torch.full((len(found.pairs),), torch.nan)}
    found.store.write(part, {}, tensors, seconds={}, device="cpu")
    with pytest.raises(DivergedError, match=r"replicate 000, no extra data: similarities are not"):
        verify_run(config_for(root), root / "out")


def test_the_plan_takes_the_weights_file(root: Path) -> None:
    config: Config = config_for(root, weights=str(root / "none.safetensors"))
    with pytest.raises((ValueError, OSError)):
        verify_plan(config, root / "out")
