import pytest
import torch

from augmentor.common.types import EncodingSource
from augmentor.families.pixel_cnn import PixelCnn, PixelCnnOptions
from augmentor.losses.pixel_likelihood import LEVELS, discretised_logistic_cdf, level_of
from augmentor.networks.pixel_cnn import PixelCnnNetwork
from tests.augmentor.families.steps import CLASSES, batch, step, trainer_for


@pytest.mark.parametrize(("i", "j"), [(0, 0), (2, 3), (4, 6), (6, 0)])
def test_a_pixel_is_told_by_all_pixels_before_it_within_reach_and_by_no_other(i, j):
    torch.manual_seed(0)
    network = PixelCnnNetwork(1, 3, width=4, layers=5, mixtures=2).double()
    x = torch.rand(1, 1, 7, 7, dtype=torch.double, requires_grad=True)
    context = network.context(x, torch.eye(3, dtype=torch.double)[:1])
    (slope,) = torch.autograd.grad(context[0, :, i, j].sum(), x)
    before = torch.arange(49).view(7, 7) < 7 * i + j
    assert torch.equal(slope[0, 0] != 0, before)


def test_a_channel_is_told_by_the_channels_before_it():
    torch.manual_seed(0)
    network = PixelCnnNetwork(3, 2, width=4, layers=2, mixtures=2)
    x = torch.rand(1, 3, 4, 4, requires_grad=True)
    for c in range(3):
        parameters = network(x, torch.eye(2)[:1])
        (slope,) = torch.autograd.grad(parameters[0, c, 2, 2].sum(), x)
        assert (slope[0, :, 2, 2] != 0).tolist() == [k < c for k in range(3)]
        assert slope[0, :, 2, 3:].eq(0).all()
        assert slope[0, :, 3].eq(0).all()


def test_a_row_told_apart_is_told_the_same():
    torch.manual_seed(0)
    network = PixelCnnNetwork(2, 3, width=4, layers=3, mixtures=2).double()
    x, class_probs = (
        torch.rand(2, 2, 12, 12, dtype=torch.double),
        torch.eye(3, dtype=torch.double)[:2],
    )
    whole, r = network.context(x, class_probs), network.reach
    for i in (0, 1, 11):
        rows = network.rows_above(x[:, :, max(0, i - r) : i], class_probs)
        for j in (0, 3, 11):
            seen = slice(max(0, j - r), j + 1)
            alone = network.context_in_row(
                x[:, :, i : i + 1, seen], [row[..., seen] for row in rows], class_probs
            )
            torch.testing.assert_close(alone[..., 0, 0], whole[..., i, j])


def test_every_pixel_sampled_is_the_quantile_of_its_uniform_number():
    torch.manual_seed(0)
    # Larger than the network's reach, so that what sampling leaves out counts.
    model = PixelCnn(("a", "b"), (2, 12, 12), PixelCnnOptions(width=4, layers=2, mixtures=2))
    y, z = torch.tensor([0, 1]), torch.randn(2, 288, generator=torch.Generator().manual_seed(1))
    x = model.sample(y, z)
    with torch.no_grad():
        cdf = discretised_logistic_cdf(model.network(x, torch.eye(2)))
    ends = torch.cat([torch.zeros_like(cdf[..., :1]), cdf, torch.ones_like(cdf[..., :1])], dim=-1)
    levels, u = level_of(x)[..., None], torch.special.ndtr(z).view_as(x)
    assert (ends.gather(-1, levels)[..., 0] <= u + 1e-5).all()
    assert (u <= ends.gather(-1, levels + 1)[..., 0] + 1e-5).all()
    assert len(levels.unique()) > 50


def test_bits_per_dimension_are_what_training_lowers():
    trainer = trainer_for("pixel_cnn", learning_rate=1e-2)
    x, y = batch()
    first = trainer.model.bits_per_dimension(x, y)
    assert first.shape == (12,)
    torch.testing.assert_close(step(trainer)["bits_per_dimension"], first.mean())
    for seed in range(60):
        step(trainer, seed)
    learned = trainer.model.bits_per_dimension(x, y)
    # Dark noise of 26 levels and a bright row: log2(26) = 4.7 bits, the row a few less.
    assert learned.mean() < 6.0 < first.mean()
    assert trainer.model.bits_per_dimension(x, (y + 1) % len(CLASSES)).mean() > learned.mean()


def test_the_probabilities_of_a_pixel_given_the_others_sum_to_one():
    trainer = trainer_for("pixel_cnn")
    x = torch.linspace(-1, 1, LEVELS).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone()
    x[:, :, :7], x[:, :, 7, :7] = -0.5, 0.5  # only the last pixel differs
    nll = trainer.model.nll(x, torch.eye(3)[:1].expand(LEVELS, -1))
    rest = trainer.model.nll(x[:1].expand(2, -1, -1, -1), torch.eye(3)[:2])  # the class is heard
    assert rest[0] != rest[1]
    with torch.no_grad():
        cdf = discretised_logistic_cdf(trainer.model.network(x[:1], torch.eye(3)[:1]))[0, 0, 7, 7]
    torch.testing.assert_close(
        (nll[0] - nll).softmax(0).cumsum(0)[:-1].detach(), cdf, atol=1e-4, rtol=1e-3
    )


def test_it_has_no_encoder():
    assert not isinstance(trainer_for("pixel_cnn").model, EncodingSource)
