import pytest
import torch

from tests.augmentor.families.steps import batch, changed, step, trainer_for


@pytest.mark.parametrize("family", ["vae", "cvae"])
@pytest.mark.parametrize("preset", ["default", "bernoulli"])
def test_the_bound_rises_and_reconstructions_come_closer(family, preset):
    trainer = trainer_for(family, preset, learning_rate=5e-3)
    losses = [step(trainer, seed) for seed in range(80)]
    assert losses[-1]["bound"] < losses[0]["bound"]
    assert losses[-1]["nll"] < 0.8 * losses[0]["nll"]
    x, y = batch()
    x_rec = trainer.model.sample(y, trainer.model.encode(x, y))
    assert (x - x_rec).square().mean() < 0.25 * x.var()


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_image_rendered_is_the_mean_of_the_likelihood(likelihood):
    model = trainer_for("cvae", likelihood=likelihood).model.eval()
    class_probs, z = torch.eye(3), torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    mean = model.sample(class_probs, z).requires_grad_()
    nll = model.nll(mean, z, class_probs)
    if likelihood == "gaussian":
        (gradient,) = torch.autograd.grad(nll.sum(), mean)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))
    else:
        probability = (mean + 1) / 2
        entropy = torch.distributions.Bernoulli(probs=probability).entropy().flatten(1).sum(dim=1)
        torch.testing.assert_close(nll, entropy)


def test_the_vaes_encoder_is_deaf_to_the_class_and_the_cvaes_is_not():
    x, y = batch()
    for family, deaf in (("vae", True), ("cvae", False)):
        model = trainer_for(family).model
        assert torch.equal(model.encode(x, y), model.encode(x, (y + 1) % 3)) is deaf


def test_the_decoder_sees_the_class():
    trainer = trainer_for("vae", learning_rate=5e-3)
    for seed in range(60):
        step(trainer, seed)
    rows = trainer.model.sample(torch.arange(3), torch.zeros(3, 6))[:, 0].mean(dim=2)[:, [0, 2, 4]]
    assert rows.argmax(dim=1).tolist() == [0, 1, 2]


def test_a_zero_weight_keeps_the_kl_from_the_encoder():
    light, heavy = trainer_for("cvae", weight_kl=0.0), trainer_for("cvae", weight_kl=50.0)
    step(light)
    step(heavy)
    # Adam's first step is the sign of the gradient: the generator's cannot depend on the KL.
    assert changed(light.model, heavy.model) == {"encoder"}
