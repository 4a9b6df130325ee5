import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from augmentor.networks.blocks import as_class_probs, as_class_weights, halvings
from augmentor.networks.classifier import Classifier
from augmentor.networks.discriminator import Discriminator
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import Generator
from augmentor.networks.given import ConditionInput
from augmentor.networks.minibatch_discrimination import MinibatchDiscrimination
from augmentor.networks.moving_mean import MovingMean

SHAPES = [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 128, 128)]
Y = torch.tensor([0, 2])
CLASS_PROBS = as_class_probs(Y, 3)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_networks_take_and_give_the_shapes_they_promise(shape):
    x, z = torch.zeros(2, *shape), torch.zeros(2, 5)
    mu, logvar = Encoder(shape, 3, 5, width=2)(x, CLASS_PROBS)
    assert mu.shape == logvar.shape == (2, 5)
    for upsampling in ("nearest", "transposed"):
        x_fake = Generator(shape, 3, 5, 2, conditional_norm=True, upsampling=upsampling)(
            z, CLASS_PROBS
        )
        assert x_fake.shape == x.shape
        assert x_fake.abs().max() <= 1
    for conditioning, norm in (("projection", "spectral"), ("channel", "layer"), ("none", "batch")):
        discriminator = Discriminator(
            shape, 3, 2, conditioning, norm, minibatch_discrimination=norm == "batch"
        )
        logits, features = discriminator(x, CLASS_PROBS)
        assert logits.shape == (2,)
        assert features.shape == (2, discriminator.num_features)
    classifier = Classifier(shape, 3, width=2)
    logits, features = classifier(x)
    assert logits.shape == (2, 3)
    assert features.shape == (2, classifier.num_features)


@pytest.mark.parametrize(
    ("size", "expected"), [(8, 1), (16, 2), (28, 2), (32, 3), (64, 4), (128, 5), (24, 2)]
)
def test_halvings_end_at_four_to_seven_pixels(size, expected):
    assert halvings(size) == expected
    assert 4 <= size >> expected <= 7


@pytest.mark.parametrize("size", [4, 7, 30, 33, 256])
def test_sizes_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ValueError, match=f"image size {size}"):
        halvings(size)


def test_labels_and_their_one_hot_mixtures_are_the_same_class_probs():
    torch.testing.assert_close(as_class_probs(Y, 3), as_class_probs(torch.eye(3)[Y], 3))


@pytest.mark.parametrize(
    "y",
    [
        torch.tensor([3]),
        torch.tensor([-1]),
        torch.ones(2, 2),
        torch.ones(2, 3),
        torch.ones(2, 3).long(),
    ],
)
def test_class_probs_that_are_no_classes_are_refused(y):
    with pytest.raises(ValueError, match=r"labels must|y must|every row"):
        as_class_probs(y, 3)


def test_weights_that_sum_to_more_than_one_are_for_rendering_alone():
    y = torch.tensor([[0.7, 0.7, 0.0]])
    torch.testing.assert_close(as_class_weights(y, 3), y)
    with pytest.raises(ValueError, match="sum to one"):
        as_class_probs(y, 3)
    for wrong in (2 * y, -y, 0 * y, y * float("nan")):
        with pytest.raises(ValueError, match="non-negative, with a sum above 0"):
            as_class_weights(wrong, 3)


@pytest.mark.parametrize(
    ("conditioning", "deaf"), [("none", True), ("channel", False), ("projection", False)]
)
def test_the_discriminator_hears_the_class_as_it_is_told(conditioning, deaf):
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    other = as_class_probs(torch.tensor([1, 1]), 3)
    torch.manual_seed(0)
    discriminator = Discriminator((1, 8, 8), 3, 4, conditioning, "spectral").eval()
    assert torch.equal(discriminator(x, CLASS_PROBS)[0], discriminator(x, other)[0]) is deaf


def test_the_channel_of_the_class_is_as_strong_as_an_image():
    torch.manual_seed(0)
    pictures = Discriminator((1, 16, 16), 3, 4, "channel", "batch").picture.weight.t()
    assert pictures.std(dim=1).tolist() == pytest.approx([1.0] * 3, abs=0.2)


@pytest.mark.parametrize("norm", ["layer", "spectral"])
def test_only_batch_norm_and_minibatch_discrimination_mix_the_images_of_a_batch(norm):
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for minibatch in (False, True):
        torch.manual_seed(0)
        discriminator = Discriminator((1, 16, 16), 3, 4, "none", norm, minibatch).eval()
        alone, among = (
            discriminator(x[:1], CLASS_PROBS[:1])[0],
            discriminator(x, CLASS_PROBS)[0][:1],
        )
        assert torch.allclose(alone, among, atol=1e-5) is not minibatch


def test_minibatch_discrimination_of_hand_worked_rows():
    layer = MinibatchDiscrimination(2, kernels=1, kernel_dim=2)
    with torch.no_grad():
        layer.project.weight.copy_(torch.eye(2))
    closeness = layer(torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 3.0]]))
    # L1 distances 2 (rows 0, 1), 3 (rows 0, 2), 1 + 2 = 3 (rows 1, 2).
    e2, e3 = math.exp(-2), math.exp(-3)
    assert closeness.flatten().tolist() == pytest.approx([e2 + e3, e2 + e3, 2 * e3])
    assert layer(torch.zeros(4, 2)).flatten().tolist() == [3.0] * 4  # one picture, four times


def test_minibatch_discrimination_gradient():
    layer = MinibatchDiscrimination(3, kernels=2, kernel_dim=2).double()
    features = torch.randn(
        4, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    assert gradcheck(lambda f: layer.project(f), (features,))
    layer(features).sum().backward()
    assert features.grad.abs().sum(dim=1).gt(0).all()


def test_spectral_norm_bounds_every_layer():
    torch.manual_seed(0)
    discriminator = Discriminator((1, 8, 8), 3, 4, "projection", "spectral")
    for _ in range(30):  # the power iteration needs a few passes
        discriminator(torch.zeros(1, 1, 8, 8), CLASS_PROBS[:1])
    layers = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(
            1.0, abs=0.02
        )


def test_the_generators_class_enters_every_normalisation():
    torch.manual_seed(0)
    generator = Generator((1, 16, 16), 3, 5, 4, conditional_norm=True, upsampling="transposed")
    generator(torch.randn(2, 5), CLASS_PROBS).sum().backward()
    scales = [p for name, p in generator.named_parameters() if name.endswith("scale")]
    assert len(scales) == 2
    for scale in scales:
        assert scale.grad[0].abs().sum() > 0
        assert scale.grad[1].abs().sum() == 0  # class 1 is not in the batch


def test_a_moving_mean_begins_with_the_first_mean_and_leaves_absent_rows_alone():
    moving = MovingMean(2, 1, decay=0.75)
    first, seen = moving(torch.tensor([[4.0], [0.0]]), torch.tensor([True, False]))
    assert first.tolist() == [[4.0], [0.0]]
    assert seen.tolist() == [True, False]
    second, seen = moving(torch.tensor([[8.0], [6.0]]), torch.tensor([True, True]))
    assert second.tolist() == [[5.0], [6.0]]  # 0.75 * 4 + 0.25 * 8; row 1 for the first time
    assert seen.tolist() == [True, True]


def test_the_gradient_of_a_moving_mean_is_that_of_the_batchs_own():
    moving = MovingMean(2, 3, decay=0.9)
    moving(torch.zeros(2, 3), torch.tensor([True, True]))
    batch_mean = torch.ones(2, 3, requires_grad=True)
    value, _ = moving(batch_mean, torch.tensor([True, False]))
    value.sum().backward()
    assert batch_mean.grad.tolist() == [[1.0] * 3, [0.0] * 3]
    assert value[0].tolist() == pytest.approx([0.1] * 3, abs=1e-6)


@pytest.mark.parametrize(
    ("conditional_norm", "at_start", "hears"),
    [(True, False, False), (True, True, True), (False, False, True)],
)
def test_the_condition_enters_beside_the_latent_only_where_it_has_to(
    conditional_norm, at_start, hears
):
    """New normalisations are deaf to it, so that all it changes in a new generator comes from the
    start.
    """
    torch.manual_seed(0)
    generator = Generator(
        (1, 16, 16), 3, 5, 4, conditional_norm, "transposed", ConditionInput(2), at_start
    ).eval()
    given = torch.cat([torch.eye(3)[[0, 0]], torch.eye(2)], dim=1)
    one, other = generator(torch.randn(1, 5).expand(2, 5), given)
    assert torch.equal(one, other) != hears
