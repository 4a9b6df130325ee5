import torch

from tests.augmentor.families.steps import batch, changed, largest_gradients, step, trainer_for


def test_reconstructions_come_closer_in_the_discriminators_features_and_in_pixels():
    trainer = trainer_for("vae_gan", learning_rate=3e-3, learning_rate_d=5e-4, gamma=1.0)
    x, y = batch()
    before = (x - trainer.model.sample(y, trainer.model.encode(x, y))).square().mean()
    for seed in range(80):
        step(trainer, seed)
    after = (x - trainer.model.sample(y, trainer.model.encode(x, y))).square().mean()
    assert after < 0.5 * before


def test_the_game_does_not_reach_the_encoder():
    one, other = trainer_for("vae_gan"), trainer_for("vae_gan", game="least_squares")
    step(one)
    step(other)
    assert changed(one.model, other.model) == {"generator", "discriminator"}


def test_gamma_and_the_kl_weight_reach_the_network_they_belong_to():
    plain = trainer_for("vae_gan")
    step(plain)
    for override, network in (({"gamma": 5.0}, "generator"), ({"weight_kl": 50.0}, "encoder")):
        other = trainer_for("vae_gan", **override)
        step(other)
        assert changed(plain.model, other.model) == {network}


def test_without_kl_and_at_the_reconstruction_itself_the_encoder_rests():
    # A generator deaf to its latent gives the encoder nothing to learn from the features.
    trainer = trainer_for("vae_gan", weight_kl=0.0)
    with torch.no_grad():
        trainer.model.generator.first[0].weight.zero_()
    assert largest_gradients(trainer)["encoder"] == 0
