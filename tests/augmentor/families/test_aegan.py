import pytest
import torch

from augmentor.losses.adversarial import fake_loss, real_loss
from tests.augmentor.families.steps import CLASSES, batch, changed, only, step, trainer_for


def test_reconstruction_is_the_mean_squared_error_of_a_pixel_and_falls():
    trainer = trainer_for("aegan", learning_rate=1e-2)
    m, (x, y) = trainer.model.train(), batch()
    class_probs = torch.eye(len(CLASSES))[y]
    expected = (x - m.generator(m.encoder(x, class_probs)[0], class_probs)).square().mean().detach()
    first = step(trainer)["autoencoder"]
    torch.testing.assert_close(first, expected)
    for seed in range(1, 30):
        last = step(trainer, seed)["autoencoder"]
    assert last < 0.5 * first


def test_neither_game_reaches_the_autoencoder():
    one, other = trainer_for("aegan"), trainer_for("aegan", weight_adversarial=1000.0)
    step(one)
    step(other)
    assert changed(one.model, other.model) == {"latent_generator"}
    least_squares = trainer_for("aegan", game="least_squares")
    step(least_squares)
    assert changed(one.model, least_squares.model) == {
        "latent_generator",
        "latent_discriminator",
        "discriminator",
    }


def test_what_the_image_discriminator_takes_for_real_is_the_reconstruction():
    trainer = only(trainer_for("aegan"), ())
    m, (x, y) = trainer.model.train(), batch()
    seen = []
    m.discriminator.register_forward_hook(
        lambda _, inputs, outputs: seen.append((inputs[0], outputs[0]))
    )
    losses = step(trainer)
    (x_real, real_logits), (x_fake, fake_logits), _ = seen
    class_probs = torch.eye(len(CLASSES))[y]
    torch.testing.assert_close(x_real, m.generator(m.encoder(x, class_probs)[0], class_probs))
    assert not torch.equal(x_fake, x_real)
    expected = (
        real_loss(real_logits, "non_saturating").mean()
        + fake_loss(fake_logits, "non_saturating").mean()
    )
    torch.testing.assert_close(losses["discriminator"], expected.detach())


def test_the_search_finds_latents_that_render_the_image():
    trainer = trainer_for("aegan", learning_rate=1e-2, search_steps=60)
    for seed in range(20):
        step(trainer, seed)
    m, y = trainer.model, torch.arange(6) % 3
    x = m.sample(y, torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    found = (x - m.sample(y, m.encode(x, y))).square().mean()
    start = (x - m.sample(y, torch.zeros(6, 6))).square().mean()
    assert found < 0.5 * start


def test_the_search_refuses_a_condition_that_the_source_does_not_know():
    m, y = trainer_for("aegan").model, torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="condition"):
        m.encode(m.sample(y, torch.zeros(2, 6)), y, torch.zeros(2, dtype=torch.int64))
