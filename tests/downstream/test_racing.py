from __future__ import annotations

import math

import numpy as np
import pytest

from downstream.racing import (
    Result,
    choose,
    difference,
    is_decided,
    leader_of,
    probability_of_a_better_one,
    standings,
)


def results(accuracy: float, rounds: int, seed: int, images: int = 100) -> list[Result]:
    """A candidate that is right on each image with this probability."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        right = (rng.random(images) < accuracy) / images
        found.append(Result(float(right.sum()), right))
    return found


def test_the_difference_and_its_error_worked_by_hand() -> None:
    one = [Result(0.75, np.array([0.25, 0.25, 0.25, 0.0]))]
    two = [Result(0.5, np.array([0.25, 0.25, 0.0, 0.0]))]
    gap, error = difference(one, two)
    assert gap == pytest.approx(0.25)
    assert error == pytest.approx(1.5 * 0.25)  # one image differs; one split tells no spread
    gap, error = difference(one * 3, two * 3)
    assert error == pytest.approx(math.sqrt(3 * 0.25**2) / 3)


def test_an_image_held_out_again_is_not_a_new_one() -> None:
    numbers = np.array([7, 3, 5, 9])
    one = [Result(0.75, np.array([0.25, 0.25, 0.25, 0.0]), numbers)]
    two = [Result(0.5, np.array([0.25, 0.25, 0.0, 0.0]), numbers)]
    assert difference(one * 3, two * 3)[1] == pytest.approx(0.25)


def test_two_standard_errors_hold_the_difference_where_few_images_are_held_out_again() -> None:
    # Which of 60 images either candidate alone recognises is decided once; eight splits hold out
    # 15 each, so all splits together know 60 images and not 120.
    rng, missed = np.random.default_rng(0), []
    for _ in range(400):
        drawn = rng.random(60)
        first, second = [], []
        for _ in range(8):
            images = rng.permutation(60)[:15]
            right = (drawn[images] < 0.15) / 15, (drawn[images] > 0.9) / 15
            first.append(Result(float(right[0].sum()), right[0], images))
            second.append(Result(float(right[1].sum()), right[1], images))
        gap, error = difference(first, second)
        missed.append(abs(gap - 0.05) > 2 * error)
    assert np.mean(missed) < 0.07


def test_the_spread_between_splits_counts_where_it_is_larger() -> None:
    one = [Result(score, np.zeros(0)) for score in (0.9, 0.5, 0.7)]
    two = [Result(0.5, np.zeros(0))] * 3
    gap, error = difference(one, two)
    assert gap == pytest.approx(0.2)
    assert error == pytest.approx(0.2 / math.sqrt(3))


def test_a_candidate_clearly_behind_drops_out_and_a_near_one_does_not() -> None:
    race = {
        "best": results(0.9, 4, 0),
        "near": results(0.89, 4, 1),
        "far": results(0.5, 4, 2),
    }
    found = {one.name: one for one in standings(race)}
    assert [one.dropped for one in found.values()] == [False, False, True]
    assert found["far"].behind > 0.25
    assert not is_decided(race)
    assert is_decided({"best": race["best"], "far": race["far"]})


def test_one_round_drops_nobody() -> None:
    race = {"best": results(1.0, 1, 0), "far": results(0.0, 1, 1)}
    assert not any(one.dropped for one in standings(race))
    assert not is_decided(race)


def test_two_rounds_decide_nothing_where_images_do_not_tell_the_error() -> None:
    """The recall of the worst class is of no image alone."""
    scores = {"best": [0.9, 0.8, 0.9, 0.8], "near": [0.89, 0.79, 0.92, 0.79]}
    race = {name: [Result(score, np.zeros(0)) for score in own[:2]] for name, own in scores.items()}
    assert difference(race["best"], race["near"]) == (pytest.approx(0.01), math.inf)
    assert not any(one.dropped for one in standings(race))
    assert not is_decided(race)
    assert math.isnan(probability_of_a_better_one(race, "best"))
    whole = {name: [Result(score, np.zeros(0)) for score in own] for name, own in scores.items()}
    assert math.isfinite(difference(whole["best"], whole["near"])[1])


def test_one_that_dropped_out_early_does_not_keep_the_race_open() -> None:
    """Its few rounds tell little of it, and more will not come."""
    race = {"best": results(0.99, 6, 0), "worse": results(0.6, 6, 1), "early": results(0.99, 2, 2)}
    assert not standings(race)[2].dropped
    assert is_decided(race)


def test_the_leader_is_among_those_with_the_most_rounds() -> None:
    race = {"lucky": results(1.0, 2, 0), "steady": results(0.8, 5, 1)}
    assert leader_of(race) == "steady"


def test_ties_go_by_the_record_and_clear_leads_do_not() -> None:
    race = {"a": results(0.9, 4, 0), "b": results(0.9, 4, 0), "c": results(0.4, 4, 1)}
    assert choose(race) == "a"
    assert choose(race, {"a": 0.03, "b": 0.01, "c": 0.0}) == "b"
    # A candidate without a record counts as the usual one: neither ahead nor behind.
    assert choose(race, {"b": 0.05}) == "a"
    assert choose(race, {"b": 0.01, "c": 0.05}) == "b"
    assert choose(race, {"c": 0.0}) == "a"


def test_the_probability_of_a_better_one() -> None:
    clear = {"a": results(0.95, 6, 0), "b": results(0.5, 6, 1)}
    assert probability_of_a_better_one(clear, "a") < 0.01
    assert probability_of_a_better_one(clear, "b") > 0.99
    one = [Result(score, np.zeros(0)) for score in (0.8, 0.9, 0.7)]
    two = [Result(score, np.zeros(0)) for score in (0.9, 0.7, 0.8)]
    even = probability_of_a_better_one({"a": one, "b": two}, "a")
    assert 0.3 < even < 0.5  # as likely better as worse, and by more than a point


def test_no_results_are_refused() -> None:
    with pytest.raises(ValueError, match="one split or more"):
        standings({"a": []})


@pytest.mark.parametrize("seed", range(5))
def test_the_best_of_five_is_found(seed: int) -> None:
    race = {
        f"candidate {index}": results(0.70 + 0.05 * index, 8, 100 * seed + index, images=130)
        for index in range(5)
    }
    assert choose(race) in ("candidate 3", "candidate 4")
