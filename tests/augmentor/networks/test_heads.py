import pytest
import torch
from torch import nn

from augmentor.networks.blocks import as_class_probs
from augmentor.networks.dense import DenseBackbone, noise_from
from augmentor.networks.discriminator import Discriminator
from augmentor.networks.heads import SemiSupervisedHead, discriminator_backbone

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("weight_norm", [False, True])
def test_one_pass_gives_logits_and_features(weight_norm):
    head = SemiSupervisedHead(
        DenseBackbone((1, 8, 8), (20, 10)), 10, 3, weight_norm=weight_norm, noise=0.5
    ).eval()
    class_logits, features = head.logits_and_features(X)
    assert class_logits.shape == (4, 3)
    assert features.shape == (4, 10)
    assert torch.equal(head(X), class_logits)
    assert torch.equal(head.features(X), features)


def test_noise_on_features_reaches_the_logits_and_not_the_features():
    head = SemiSupervisedHead(nn.Flatten(), 64, 3, noise=0.5)
    with noise_from(head, torch.Generator().manual_seed(0)):
        noisy, features = head.logits_and_features(X)
    torch.testing.assert_close(features, X.flatten(1))
    assert not torch.equal(noisy, head.eval()(X))


def test_half_precision_inside_is_float32_outside():
    head = SemiSupervisedHead(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        class_logits, features = head.logits_and_features(X)
    assert class_logits.dtype == features.dtype == torch.float32


@pytest.mark.parametrize("spectral", [False, True])
def test_a_discriminators_convolutions_are_a_backbone_with_its_own_features(spectral):
    torch.manual_seed(0)
    conditioning, norm = ("projection", "spectral") if spectral else ("none", "batch")
    discriminator = Discriminator((1, 8, 8), 3, 4, conditioning, norm).eval()
    backbone = discriminator_backbone(discriminator)
    _, features = discriminator(X, as_class_probs(torch.tensor([0, 1, 2, 0]), 3))
    head = SemiSupervisedHead(backbone, discriminator.num_features, 3).eval()
    torch.testing.assert_close(head.features(X), features)
    assert next(head.backbone.parameters()) is next(discriminator.convolutions.parameters())


def test_a_discriminator_that_sees_a_picture_of_the_class_is_no_backbone():
    with pytest.raises(ValueError, match='conditioning="channel" sees a picture of the class'):
        discriminator_backbone(Discriminator((1, 8, 8), 3, 4, "channel", "batch"))


def test_a_backbone_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"features \(4, 10\), it gave \(4, 64\)"):
        SemiSupervisedHead(nn.Flatten(), 10, 3)(X)
