from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from downstream.consistency import FixMatchSettings, GivenLabels, Teacher, train_fixmatch
from downstream.evaluate import predict_logits
from downstream.train import NonFiniteLossError

SHORT = FixMatchSettings(
    steps=60, labelled_batch=8, unlabelled_batch=32, learning_rate=0.01, threshold=0.6
)


def same(x: Tensor, rng: Generator) -> Tensor:
    return x


def noisy(x: Tensor, rng: Generator) -> Tensor:
    return x + 0.1 * torch.randn(x.shape, generator=rng)


def halves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images whose left or right half is bright, under noise, in turn; and which half it is."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = 0.7 * torch.randn(count, 1, 8, 8, generator=rng)
    for index, side in enumerate(y.tolist()):
        x[index, :, :, 4 * side : 4 * side + 4] += 0.6
    return x, y


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        layers = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 2),
        )
        return nn.Sequential(*layers)


def error(model: nn.Module) -> float:
    x, y = halves(400, 3)
    return float((predict_logits(model, x).argmax(dim=1) != y).float().mean())


def trained(
    settings: FixMatchSettings = SHORT, given: GivenLabels | None = None, seed: int = 0
) -> nn.Module:
    x, y = halves(8, 1)
    pool, _ = halves(300, 2)
    return train_fixmatch(
        network(), x, y, pool, settings, seed=seed, weak=same, strong=noisy, given=given
    )


def test_unlabelled_images_lower_the_error() -> None:
    alone = trained(FixMatchSettings(**{**SHORT.__dict__, "weight_unlabelled": 0.0}))
    assert error(trained()) < error(alone) - 0.05


def test_equal_seeds_give_equal_weights_and_leave_the_global_state() -> None:
    before = torch.random.get_rng_state()
    first, second, other = (list(trained(seed=seed).parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_good_advice_helps_and_bad_advice_fades() -> None:
    _, truth = halves(300, 2)
    everything = torch.ones(300, dtype=torch.bool)
    good = error(trained(given=GivenLabels(truth, everything, alone=20, until=40)))
    bad = error(trained(given=GivenLabels(1 - truth, everything, alone=20, until=40)))
    assert good < 0.05 < bad


def test_only_clear_advice_is_followed_alone() -> None:
    _, truth = halves(300, 2)
    clear = torch.arange(300) < 150
    half_wrong = torch.where(clear, truth, 1 - truth)
    # No step is left after those on the advice alone: the wrong half must not have been seen.
    assert error(trained(given=GivenLabels(half_wrong, clear, alone=60, until=60))) < 0.05


def test_without_clear_advice_the_teacher_is_asked_at_once() -> None:
    _, truth = halves(300, 2)
    nothing = torch.zeros(300, dtype=torch.bool)
    assert error(trained(given=GivenLabels(truth, nothing, alone=20, until=40))) < 0.05


def test_weight_of_advice_falls_on_a_line() -> None:
    given = GivenLabels(
        torch.zeros(3, dtype=torch.int64),
        torch.ones(3, dtype=torch.bool),
        alone=10,
        until=30,
        weight=0.4,
    )
    assert [given.weight_at(step) for step in (0, 10, 20, 30, 99)] == [0.4, 0.4, 0.2, 0.0, 0.0]


def test_advice_by_hand() -> None:
    given = GivenLabels(
        torch.tensor([0, 2]),
        torch.ones(2, dtype=torch.bool),
        alone=0,
        until=10,
        weight=0.5,
        trust=0.8,
    )
    blended = given.blended(torch.tensor([[0.2, 0.3, 0.5]]), torch.tensor([1]), 0)
    assert torch.allclose(blended, torch.tensor([[0.15, 0.2, 0.65]]))  # advised: 0.1, 0.1, 0.8


def test_an_image_without_a_given_label_has_the_teachers_alone() -> None:
    everything = torch.zeros(2, dtype=torch.bool)
    given = GivenLabels(torch.tensor([-1, 0]), everything, alone=0, until=10)
    teacher = torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]])
    blended = given.blended(teacher, torch.tensor([0, 1]), 0)
    assert torch.equal(blended[0], teacher[0])
    assert blended[1].argmax() == 0


def test_teacher_follows_slowly_but_forgets_its_start() -> None:
    student = nn.Linear(1, 1, bias=False)
    nn.init.constant_(student.weight, 0.0)
    teacher = Teacher(student, 0.5, balanced=False)
    nn.init.constant_(student.weight, 1.0)
    teacher.follow(student)  # keeps 1/10
    assert teacher.network.weight.item() == pytest.approx(0.9)
    for _ in range(9):
        teacher.follow(student)  # keeps up to 10/19, but never more than a half
    assert 1 - teacher.network.weight.item() == pytest.approx(
        0.1 * math.prod(min(0.5, (1 + n) / (10 + n)) for n in range(1, 10)), abs=1e-6
    )


def test_alignment_divides_by_the_running_mean() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    nn.init.zeros_(network[1].weight)
    network[1].bias.data = torch.tensor([0.8, 0.2]).log()  # says 0.8 to 0.2 whatever it sees
    x = torch.zeros(5, 1, 1, 1)
    plain, aligned = Teacher(network, 0.9, balanced=False), Teacher(network, 0.9, balanced=True)
    assert torch.allclose(plain.probabilities(x), torch.tensor([[0.8, 0.2]]).expand(5, 2))
    for _ in range(500):
        probabilities = aligned.probabilities(x)
    assert torch.allclose(probabilities, torch.full((5, 2), 0.5), atol=1e-3)


def test_final_statistics_are_those_of_images_as_they_are() -> None:
    pool, _ = halves(256, 2)
    student = network()
    finished = Teacher(student, 0.9, balanced=False).finished(
        pool, torch.Generator().manual_seed(0)
    )
    seen = student[0](pool)
    assert torch.allclose(finished[1].running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(finished[1].running_var, seen.var(dim=(0, 2, 3)), rtol=1e-3)
    assert not finished.training


def test_steps_are_told() -> None:
    told: list[tuple[int, dict[str, float]]] = []
    x, y = halves(4, 1)
    train_fixmatch(
        network(),
        x,
        y,
        x,
        SHORT,
        seed=0,
        weak=same,
        strong=same,
        on_step=lambda *report: told.append(report),
    )
    assert [step for step, _ in told] == list(range(1, 61))
    assert all(0 <= values["accepted"] <= 1 and values["loss"] > 0 for _, values in told)


def test_infinite_loss_stops() -> None:
    x, y = halves(4, 1)
    with pytest.raises(NonFiniteLossError, match="step 1"):
        train_fixmatch(network(), x * math.inf, y, x, SHORT, seed=0, weak=same, strong=same)


def test_images_of_both_kinds_are_needed() -> None:
    x, y = halves(4, 1)
    for labelled, unlabelled in ((x[:0], x), (x, x[:0])):
        with pytest.raises(ValueError, match="need labelled and unlabelled"):
            train_fixmatch(
                network(),
                labelled,
                y[: len(labelled)],
                unlabelled,
                SHORT,
                seed=0,
                weak=same,
                strong=same,
            )


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"unlabelled_batch": 0}, {"threshold": 1.1}, {"average_decay": 1.0}]
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        FixMatchSettings(**wrong)  # type: ignore[arg-type]
