from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augmentor.common.types import DataError
from augmentor.data.synthetic_store import read_recipe, read_set
from augmentor.sampling.diffusers_set import write_diffusers_set


class StandIn:
    """Called as a pipeline of diffusers: an image is the length of its prompt, and noise."""

    def __init__(self) -> None:
        self.components = {
            "unet": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
            "scheduler": object(),
        }
        self.calls: list[dict[str, Any]] = []

    def __call__(
        self, *, generator: list[torch.Generator], output_type: str, steps: int = 1, **asked: Any
    ) -> Any:
        assert output_type == "np"
        (values,) = asked.values()
        self.calls.append(asked)
        levels = torch.tensor([float(one if isinstance(one, int) else len(one)) for one in values])
        noise = torch.stack([torch.rand(12, 16, 3, generator=rng) for rng in generator])
        return SimpleNamespace(images=(levels.view(-1, 1, 1, 1) / 20 + noise / 4).numpy())


def test_prompts_become_a_set_that_says_what_was_asked_for(tmp_path: Path) -> None:
    prompts = {"cat": "a cat", "dog": "a good dog"}
    recipe = write_diffusers_set(StandIn(), tmp_path / "set", prompts, 5, batch_size=2, steps=3)
    found = read_set(tmp_path / "set")
    assert found.recipe == recipe == read_recipe(tmp_path / "set")
    assert recipe.family == "diffusers StandIn"
    assert recipe.prompts == prompts
    assert recipe.source_augment == "unknown"
    assert found.stored.pixels.shape == (10, 3, 12, 16)
    assert found.images.x[5:].mean() > found.images.x[:5].mean() + 0.2
    assert len(np.unique(found.stored.pixels[:5].flatten(1).numpy(), axis=0)) == 5


def test_an_image_depends_on_seed_class_and_number_alone(tmp_path: Path) -> None:
    prompts = {"one": 1, "two": 2}
    few = StandIn()
    write_diffusers_set(few, tmp_path / "a", prompts, 3, size=8, grey=True, batch_size=1)
    assert few.calls[0] == {"class_labels": [1]}
    write_diffusers_set(StandIn(), tmp_path / "b", prompts, 3, size=8, grey=True, batch_size=3)
    first, second = (read_set(tmp_path / name).stored.pixels for name in "ab")
    assert first.shape == (6, 1, 8, 8)
    assert torch.equal(first, second)
    write_diffusers_set(StandIn(), tmp_path / "c", prompts, 3, size=8, grey=True, seed=1)
    assert not torch.equal(first, read_set(tmp_path / "c").stored.pixels)


def test_other_weights_options_or_prompts_are_another_recipe(tmp_path: Path) -> None:
    pipeline = StandIn()
    write_diffusers_set(pipeline, tmp_path, {"one": 1}, 1)
    with pytest.raises(DataError, match="different: source_sha256"):
        write_diffusers_set(pipeline, tmp_path, {"one": 1}, 1, steps=2)
    with pytest.raises(DataError, match="different: source_sha256"):
        write_diffusers_set(StandIn(), tmp_path, {"one": 1}, 1)
    with pytest.raises(DataError, match="different: prompts"):
        write_diffusers_set(pipeline, tmp_path, {"one": 2}, 1)
    for prompts in ({}, {"one": 1, "two": "a two"}):
        with pytest.raises(ValueError, match="a prompt for every class"):
            write_diffusers_set(pipeline, tmp_path, prompts, 1)


@pytest.mark.filterwarnings("ignore")  # what other packages deprecate is not ours to mend
def test_a_tiny_pipeline_of_diffusers_itself(tmp_path: Path) -> None:
    diffusers = pytest.importorskip(
        "diffusers", reason="diffusers is not installed", exc_type=ImportError
    )
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4,), norm_num_groups=2, latent_channels=4, sample_size=8
    )
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        norm_num_groups=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
    )
    pipeline = diffusers.DiTPipeline(transformer, vae, diffusers.DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    names = {"cat": 3, "dog": 7}
    options = {"num_inference_steps": 2, "guidance_scale": 1.0}
    recipe = write_diffusers_set(pipeline, tmp_path, names, 2, **options)
    found = read_set(tmp_path)
    assert recipe.family == "diffusers DiTPipeline"
    assert found.stored.pixels.shape == (4, 3, 8, 8)
    assert json.loads((tmp_path / "recipe.json").read_text())["prompts"] == names


def test_images_that_a_safety_checker_blackened_are_refused(tmp_path: Path) -> None:
    class Censoring(StandIn):
        def __call__(self, **options: Any) -> Any:
            return SimpleNamespace(
                images=super().__call__(**options).images, nsfw_content_detected=[True]
            )

    with pytest.raises(DataError, match="safety checker blackened"):
        write_diffusers_set(Censoring(), tmp_path / "set", {"cat": "a cat"}, 1)
