"""A sampling without Python gives the images of the source, for any number of them."""

from __future__ import annotations

import doctest
import sys

import pytest
import torch

import augmentor
from augmentor import LabelledImages, exporting
from augmentor.common.conditions import Conditions
from augmentor.exporting import export_onnx, export_sample

WORDS = Conditions(("light",), categories=("day", "night", "dusk"))
NUMBERS = Conditions(("angle",), centre=(10.0,), scale=(5.0,))

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of torch's exporters themselves
    pytest.mark.xdist_group("exporting"),  # they are imported once
]


def trained(family, **conditions):
    x = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = LabelledImages(x, torch.arange(10) % 2, ("a", "b"), **conditions)
    return augmentor.train(images, family=family, steps=1, batch_size=10, options={"width": 4})


def inputs_of(source, n):
    """Classes, latents and conditions of n images."""
    z = torch.randn(n, source.latent_dim, generator=torch.Generator().manual_seed(n))
    inputs = [torch.arange(n) % 2, z]
    if source.conditions.are_numbers:
        inputs.append(torch.linspace(5, 15, n)[:, None])
    elif source.conditions:
        inputs.append(torch.arange(n) % 3)
    return inputs


SOURCES = {
    "encoder": lambda: trained("cvae_gan"),
    "words": lambda: trained("cvae", condition=torch.arange(10) % 3, conditions=WORDS),
    "numbers": lambda: trained("cvae", condition=torch.rand(10, 1) * 10 + 5, conditions=NUMBERS),
}


@pytest.fixture(scope="module", params=SOURCES)
def source(request):
    return SOURCES[request.param]()


def test_a_program_gives_the_images_of_the_source(source):
    sample = export_sample(source).module()
    for n in (2, 7):
        inputs = inputs_of(source, n)
        assert torch.allclose(sample(*inputs), source.sample(*inputs), atol=1e-6)


def test_onnx_gives_the_images_of_the_source(source, tmp_path):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed (extra onnx)")
    import onnxruntime

    file = export_onnx(source, tmp_path / "new" / "sample.onnx")
    assert [one.name for one in file.parent.iterdir()] == ["sample.onnx"]  # weights inside
    session = onnxruntime.InferenceSession(str(file))
    names = [one.name for one in session.get_inputs()]
    assert names == ["y", "z", "condition"][: len(names)]
    for n in (2, 7):
        inputs = inputs_of(source, n)
        given = {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
        (images,) = session.run(["images"], given)
        assert torch.allclose(torch.from_numpy(images), source.sample(*inputs), atol=1e-5)


def test_the_checks_of_values_are_there_outside_of_the_tracing(source):
    y, z, *condition = inputs_of(source, 2)
    with pytest.raises(ValueError, match="labels must lie"):
        source.sample(y + 5, z, *condition)


def test_without_the_packages_the_extra_is_named(monkeypatch, tmp_path):
    for name in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"onnx and onnxscript; install augmentor-synth\[onnx\]"):
        export_onnx(SOURCES["numbers"](), tmp_path / "sample.onnx")


def test_the_example_runs():
    found = doctest.testmod(exporting)
    assert (found.failed, found.attempted) == (0, 6)
