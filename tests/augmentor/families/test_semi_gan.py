import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from augmentor.common.types import LabelledImages
from augmentor.families.semi_gan import (
    ImprovedGanTrainer,
    SemiGanOptions,
    SourceHeadTrainer,
    rate_at,
)
from augmentor.networks.dense import DenseBackbone, DenseGenerator
from augmentor.networks.heads import SemiSupervisedHead
from augmentor.training.batches import SemiBatches
from augmentor.training.ema import averaged
from augmentor.training.loop import fit

SHAPE = (1, 8, 8)
QUICK = SemiGanOptions(learning_rate=1e-3)


class Rows(nn.Module):
    """A source whose class c is a bright row 2c; one weight, to see that nobody trains it."""

    classes, image_shape, latent_dim = ("a", "b", "c"), SHAPE, 5

    def __init__(self):
        super().__init__()
        self.brightness = nn.Parameter(torch.ones(()))

    @torch.no_grad()
    def sample(self, y, z):
        x = torch.full((len(y), *SHAPE), -1.0)
        x[torch.arange(len(y)), 0, 2 * y] = self.brightness
        return (x + 0.05 * z[:, :1, None, None]).clamp(-1, 1)


def head(hidden=20, k=3, noise=0.5):
    torch.manual_seed(0)
    backbone = DenseBackbone(SHAPE, widths=(hidden, hidden), input_noise=noise, hidden_noise=noise)
    return SemiSupervisedHead(backbone, hidden, k, weight_norm=True, noise=noise)


def improved(options=QUICK, noise=0.5):
    model = head(noise=noise)
    return ImprovedGanTrainer(model, DenseGenerator(SHAPE, latent_dim=4, width=10), options)


def batch(seed=0, n=6, m=9):
    noise = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    source = Rows()
    x = source.sample(y, torch.randn(n, 5, generator=noise))
    return x, y, source.sample(torch.arange(m) % 3, torch.randn(m, 5, generator=noise))


def step(trainer, seed=0):
    return trainer.step(*batch(), rng=torch.Generator().manual_seed(seed))


def equal(first, second):
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


def test_a_step_moves_both_players_and_reports_finite_losses():
    trainer = improved()
    model, generator = copy.deepcopy(trainer.model), copy.deepcopy(trainer.generator)
    losses = step(trainer)
    assert not equal(model, trainer.model)
    assert not equal(generator, trainer.generator)
    assert set(losses) == {"labelled", "game", "entropy", "matching"}
    assert all(
        loss.ndim == 0 and loss.isfinite() and not loss.requires_grad for loss in losses.values()
    )


@pytest.mark.parametrize("player", ["head", "generator"])
def test_the_loss_of_one_player_leaves_the_other_bit_equal(player):
    trainer = improved()
    networks = {"head": trainer.model, "generator": trainer.generator}
    before = copy.deepcopy(networks)
    (other,) = set(networks) - {player}
    trainer.optimisers[other].step = lambda: None  # only `player` may move now
    step(trainer)
    assert not equal(before[player], networks[player])
    assert equal(before[other], networks[other])


@pytest.mark.parametrize("weight", ["weight_unlabelled", "weight_entropy"])
def test_the_weights_of_the_unlabelled_images_reach_the_head(weight):
    without, with_it = (improved(replace(QUICK, **{weight: value})) for value in (0.0, 5.0))
    step(without)
    step(with_it)
    assert not equal(without.model, with_it.model)


def test_the_heads_own_loss_falls():
    trainer = improved()
    losses = [step(trainer, seed) for seed in range(150)]
    assert losses[-1]["labelled"] < 0.2 * losses[0]["labelled"]
    assert losses[-1]["game"] < losses[0]["game"]


def test_the_generators_own_loss_falls_under_a_fixed_head():
    trainer = improved(replace(QUICK, learning_rate=1e-2), noise=0.0)
    trainer.optimisers["head"].step = lambda: None
    losses = [step(trainer, seed)["matching"] for seed in range(150)]
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])


def test_the_bad_generator_moves_elsewhere_than_the_published_one():
    options = replace(QUICK, weight_entropy=0.1, weight_pull_away=0.8)
    published, bad = improved(), improved(options)
    step(published)
    step(bad)
    assert not equal(published.generator, bad.generator)
    assert not equal(published.model, bad.model)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_equal_seeds_give_equal_steps_and_the_global_state_stays(bfloat16):
    first, second = (improved(replace(QUICK, bfloat16=bfloat16)) for _ in range(2))
    state = torch.random.get_rng_state()
    step(first)
    step(second)
    assert equal(first.model, second.model)
    assert equal(first.generator, second.generator)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_restored_trainer_goes_on_bit_for_bit():
    options = replace(QUICK, steps=4, decay_from=0.0)
    whole = improved(options)
    step(whole)
    resumed = ImprovedGanTrainer(
        copy.deepcopy(whole.model), DenseGenerator(SHAPE, latent_dim=4, width=10), options
    )
    resumed.restore(copy.deepcopy(whole.state()))
    step(whole, 1)
    step(resumed, 1)
    assert equal(whole.model, resumed.model)
    assert equal(whole.generator, resumed.generator)


def test_a_source_is_not_trained_and_both_uses_of_it_reach_the_head():
    losses, heads = {}, {}
    for game, extra in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        source = Rows()
        trainer = SourceHeadTrainer(
            head(), source, replace(QUICK, weight_unlabelled=game, weight_extra_labelled=extra)
        )
        losses[game, extra] = step(trainer)
        heads[game, extra] = trainer.model
        assert source.brightness.item() == 1.0
        assert source.brightness.grad is None
    assert all(loss.isfinite() for each in losses.values() for loss in each.values())
    assert (losses[0.0, 0.0]["extra_labelled"] > 0, losses[0.0, 1.0]["extra_labelled"] > 0) == (
        False,
        True,
    )
    values = list(heads.values())
    assert not any(equal(a, b) for i, a in enumerate(values) for b in values[i + 1 :])


def test_examples_of_a_source_teach_its_classes():
    options = replace(QUICK, weight_unlabelled=0.0, weight_extra_labelled=1.0)
    trainer = SourceHeadTrainer(head(noise=0.0), Rows(), options)
    x, y, x_unlabelled = batch()
    for seed in range(
        150
    ):  # the labelled images are all of class 0: the others can come from the source only
        trainer.step(x[y == 0], y[y == 0], x_unlabelled, rng=torch.Generator().manual_seed(seed))
    assert trainer.model.eval()(x).argmax(dim=1).tolist() == y.tolist()


def test_a_source_of_other_classes_is_refused():
    with pytest.raises(ValueError, match="the source has 3 classes, the head 4"):
        SourceHeadTrainer(head(k=4), Rows(), QUICK)


@pytest.mark.parametrize(
    ("decay_from", "expected"),
    [(1.0, [1, 1, 1, 1]), (0.0, [1, 0.75, 0.5, 0.25]), (0.5, [1, 1, 1, 0.5])],
)
def test_the_rate_is_constant_then_falls_linearly(decay_from, expected):
    options = SemiGanOptions(steps=4, decay_from=decay_from, learning_rate=1.0)
    assert [rate_at(step, options) for step in range(4)] == pytest.approx(expected)


def test_the_common_loop_trains_and_averages_the_head():
    x, y, x_unlabelled = batch()
    trainer = improved(noise=0.0)
    average = averaged(trainer.model, 0.9)
    batches = SemiBatches(LabelledImages(x, y, Rows.classes), x_unlabelled, 6, 4, seed=0)
    reports = list(fit(trainer, average, batches, steps=60, seed=0))
    assert reports[-1].losses["labelled"] < reports[0].losses["labelled"]
    assert average.module.eval()(x).argmax(dim=1).tolist() == y.tolist()
