import torch

from augmentor.networks.latent_discriminator import LatentDiscriminator
from tests.augmentor.families.steps import CLASSES, batch, changed, step, trainer_for


def test_reconstructions_come_closer_and_the_latents_come_to_the_prior():
    trainer = trainer_for("wae_gan", learning_rate=3e-3, learning_rate_d=3e-3)
    with torch.no_grad():  # latents far off the prior
        trainer.model.encoder.posterior.bias.fill_(3.0)
    x, y = batch()
    first = step(trainer)
    for seed in range(1, 150):
        last = step(trainer, seed)
    assert last["pixels"] < 0.3 * first["pixels"]
    assert trainer.model.encode(x, y).mean().abs() < 1.0


def test_the_game_in_latent_space_does_not_reach_the_generator():
    one, other = trainer_for("wae_gan"), trainer_for("wae_gan", weight_adversarial=1000.0)
    step(one)
    step(other)
    assert changed(one.model, other.model) == {"encoder"}


def test_encoding_is_deterministic_and_rendering_it_is_the_reconstruction():
    trainer = trainer_for("wae_gan", learning_rate=0.0)
    x, y = batch()
    assert torch.equal(trainer.model.encode(x, y), trainer.model.encode(x, y))
    trainer.model.train()
    z, _ = trainer.model.posterior(x, torch.eye(len(CLASSES))[y])
    x_rec = trainer.model.generator(z, torch.eye(len(CLASSES))[y])
    # The paper's cost, the squared distance summed over pixels.
    expected = (x - x_rec).square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(step(trainer)["pixels"], expected.detach())


def test_the_latent_discriminator_hears_the_class():
    torch.manual_seed(0)
    discriminator = LatentDiscriminator(5, 3, hidden=16)
    z = torch.randn(1, 5).expand(3, 5)
    logits = discriminator(z, torch.eye(3))
    assert logits.shape == (3,)
    assert logits.unique().numel() == 3
