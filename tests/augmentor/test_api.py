import pytest
import torch

import augmentor
from augmentor.api import Source, build, describe
from augmentor.common.types import DataError
from augmentor.data.candidates import latents
from augmentor.families import FAMILIES
from augmentor.families.cvae_gan import CvaeGan
from augmentor.training.checkpoint import save_checkpoint


def model():
    torch.manual_seed(0)
    return CvaeGan(
        ("cat", "dog"),
        (1, 8, 8),
        FAMILIES["cvae_gan"].options_for("default", {"width": 4, "latent_dim": 5}),
    ).eval()


@pytest.fixture
def run(tmp_path):
    trained = model()
    save_checkpoint(
        tmp_path / "checkpoints",
        1,
        describe("cvae_gan", trained),
        {"average": trained.state_dict()},
    )
    return tmp_path


def test_a_loaded_source_renders_what_the_model_renders(run):
    y, z = torch.tensor([0, 1]), torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(augmentor.load(run).sample(y, z), model().sample(y, z))
    torch.testing.assert_close(
        augmentor.load(run / "checkpoints").encode(torch.zeros(2, 1, 8, 8), y),
        model().encode(torch.zeros(2, 1, 8, 8), y),
    )


def test_a_class_is_asked_for_by_its_name(run):
    source = augmentor.load(str(run))
    images = source.sample(label="dog", n=6, seed=3)
    assert images.shape == (6, 1, 8, 8)
    torch.testing.assert_close(source.sample(label="dog", n=2, seed=3), images[:2])
    assert not torch.equal(source.sample(label="cat", n=6, seed=3), images)
    with pytest.raises(ValueError, match="unknown class 'cow'; known classes: cat, dog"):
        source.sample(label="cow", n=1)


def test_many_images_of_a_class_are_rendered_in_parts(monkeypatch):
    trained, sizes = model(), []
    render = trained.sample
    monkeypatch.setattr(trained, "sample", lambda y, z: sizes.append(len(z)) or render(y, z))
    images = Source(trained).sample(label="dog", n=300, seed=3)
    assert sizes == [128, 128, 44]
    at_once = render(torch.ones(300, dtype=torch.int64), latents(3, 1, 0, 300, 5))
    torch.testing.assert_close(images, at_once)
    assert Source(trained).sample(label="dog", n=0).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"y": torch.zeros(2, dtype=torch.int64)}, "y and z together; z is missing"),
        ({"z": torch.zeros(2, 5)}, "y and z together; y is missing"),
        ({}, "y and z, or a label; known classes: cat, dog"),
    ],
)
def test_what_a_request_lacks_is_named(given, words):
    with pytest.raises(ValueError, match=words):
        Source(model()).sample(**given)


def test_a_description_builds_the_like():
    built = build(describe("cvae_gan", model()))
    assert built.options == model().options
    built.load_state_dict(model().state_dict())


def test_a_source_is_itself_a_source():
    source = Source(model())
    assert (source.classes, source.image_shape, source.latent_dim) == (("cat", "dog"), (1, 8, 8), 5)


def test_a_description_of_another_version_is_refused_with_a_sentence():
    known = describe("cvae_gan", model())
    with pytest.raises(DataError, match="of the family 'gnn', which this version does not know"):
        build(known | {"family": "gnn"})
    with pytest.raises(DataError, match=r"unknown options \['depth'\]"):
        build(known | {"options": {"depth": 3}})


def test_a_class_that_is_a_number_is_asked_for_by_it():
    images = augmentor.LabelledImages(
        torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]), ("3", "5")
    )
    source = augmentor.train(images, family="cvae", steps=1, batch_size=2)
    assert torch.equal(source.sample(label=5, n=2), source.sample(label="5", n=2))
    with pytest.raises(ValueError, match="unknown class 1"):
        source.sample(label=1)
    with pytest.raises(ValueError, match="n must be 0 or more"):
        source.sample(label=5, n=-1)
