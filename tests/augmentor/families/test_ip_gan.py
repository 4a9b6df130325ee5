import pytest
import torch

from augmentor.common.types import EncodingSource
from augmentor.families.ip_gan import identity
from tests.augmentor.families.steps import CLASSES, batch, changed, differs, only, step, trainer_for


def test_an_identity_has_mean_square_one_and_no_length():
    # (3, 4) has length 5; (0.6, 0.8) times sqrt(2).
    assert identity(torch.tensor([[3.0, 4.0]]))[0].tolist() == pytest.approx([0.848528, 1.131371])
    features = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(identity(features).square().mean(dim=1), torch.ones(4))
    torch.testing.assert_close(identity(7 * features), identity(features))
    assert identity(torch.zeros(1, 3)).eq(0).all()


def test_classes_are_the_mean_identities_of_their_images():
    trainer = only(trainer_for("ip_gan"), ())
    m, (x, y) = trainer.model, batch()
    step(trainer)
    codes = identity(m.identity(x)[1]).detach()
    expected = identity(torch.stack([codes[y == c].mean(dim=0) for c in range(3)]))
    torch.testing.assert_close(m.identity.of_classes(torch.eye(3)), expected)


def test_render_takes_who_from_the_one_image_and_the_rest_from_the_other():
    trainer = trainer_for("ip_gan")
    step(trainer)
    m, (x, y) = trainer.model, batch(6)
    assert isinstance(m, EncodingSource)
    rendered = m.render(x, x.flip(0))
    assert rendered.shape == x.shape
    assert not rendered.requires_grad
    torch.testing.assert_close(m.render(x[:1], x[-1:]), rendered[:1])
    z, codes = m.encode(x.flip(0), y.flip(0)), identity(m.identity(x)[1])
    torch.testing.assert_close(rendered, m.generator(z, codes).detach())
    assert not torch.equal(m.render(x.flip(0), x.flip(0)), rendered)


def test_attributes_are_those_of_the_image_whatever_its_label():
    m, (x, y) = trainer_for("ip_gan").model, batch()
    assert torch.equal(m.encode(x, y), m.encode(x, (y + 1) % len(CLASSES)))


def test_images_that_do_not_pair_are_refused():
    m = trainer_for("ip_gan").model
    with pytest.raises(ValueError, match=r"must be \(N, 1, 8, 8\)"):
        m.render(torch.zeros(2, 1, 8, 8), torch.zeros(3, 1, 8, 8))
    with pytest.raises(ValueError, match=r"must be \(N, 1, 8, 8\)"):
        m.render(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8))


def test_every_weight_reaches_the_network_it_belongs_to():
    plain = trainer_for("ip_gan")
    step(plain)
    overrides = {"weight_kl": {"encoder"}, "weight_other": {"encoder", "generator"}}
    overrides |= {"weight_features_c": {"generator"}, "weight_features_d": {"generator"}}
    for name, networks in overrides.items():
        other = trainer_for("ip_gan", **{name: 50.0})
        step(other)
        assert changed(plain.model, other.model) == networks


def test_only_the_half_of_two_images_is_weighted_less():
    # At lambda 0 the second half counts nothing; at 1 all count alike.
    losses = [only(trainer_for("ip_gan", weight_other=weight), ()) for weight in (0.0, 0.5, 1.0)]
    none, some, full = (float(step(trainer)["pixels"]) for trainer in losses)
    assert 0 < none < some < full
    assert some == pytest.approx((none + full) / 2, rel=1e-5)


def test_the_generator_gets_no_cross_entropy():
    plain, other = trainer_for("ip_gan"), trainer_for("ip_gan", game="least_squares")
    step(plain)
    step(other)
    assert changed(plain.model, other.model) == {"discriminator"}
    with torch.no_grad():
        other = trainer_for("ip_gan")
        other.model.identity.classifier.linear.weight.mul_(3)
    step(other)
    assert not differs(trainer_after_a_step().generator, other.model.generator)


def trainer_after_a_step():
    trainer = trainer_for("ip_gan")
    step(trainer)
    return trainer.model
