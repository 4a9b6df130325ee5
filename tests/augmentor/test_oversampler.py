"""The sampler in imbalanced-learn's manner, alone and in its pipeline."""

from __future__ import annotations

import doctest
import pickle

import numpy as np
import pytest
import torch
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from torch import Tensor

from augmentor import GanOverSampler, oversampler, train
from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints
from augmentor.sampling.mixed_classes import MixedClasses
from augmentor.sampling.spread_latents import DonatedLatents, ScaledLatents
from augmentor.sampling.synthesize import synthesize

BLACK = np.zeros((13, 1, 4, 4), dtype=np.float32)
LABELS = np.array([7] * 8 + [3] * 3 + [5] * 2)


class Levels:
    """Renders a grey level per class: 3 is -0.5, 5 is 0, 7 is 0.5."""

    def __init__(self, classes=("5", "3", "7"), image_shape=(1, 4, 4)):
        self.classes, self.image_shape, self.latent_dim = classes, image_shape, 2

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        level = torch.tensor([0.0, -0.5, 0.5])[y] + 0.01 * z[:, 0].tanh()
        return level[:, None, None, None].repeat(1, *self.image_shape)


def test_balances_and_keeps_the_given_images_first():
    sampler = GanOverSampler(Levels(), random_state=0)
    x, y = sampler.fit_resample(BLACK, LABELS)
    assert (x[:13] == BLACK).all()
    assert (y[:13] == LABELS).all()
    assert dict(zip(*np.unique(y, return_counts=True), strict=True)) == {3: 8, 5: 8, 7: 8}
    assert sampler.sampling_strategy_ == {3: 5, 5: 6}
    assert (x.dtype, y.dtype, x.shape[1:]) == (np.float32, LABELS.dtype, (1, 4, 4))
    for label, level in ((3, 0.25), (5, 0.5)):
        assert x[13:][y[13:] == label].mean() == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("shape", [(16,), (4, 4), (1, 4, 4)])
def test_shapes_give_the_same_pixels(shape):
    x, _ = GanOverSampler(Levels(), random_state=0).fit_resample(BLACK.reshape(13, *shape), LABELS)
    expected, _ = GanOverSampler(Levels(), random_state=0).fit_resample(BLACK, LABELS)
    assert x.shape[1:] == shape
    assert (x.reshape(expected.shape) == expected).all()


def test_colour_is_flattened_channels_first():
    source = Levels(image_shape=(3, 4, 4))
    x, _ = GanOverSampler(source, random_state=0).fit_resample(np.zeros((13, 48)), LABELS)
    made = synthesize(source, {0: 6, 1: 5}, seed=0)
    assert np.allclose(x[13:].reshape(-1, 3, 4, 4), (made.x.numpy() + 1) / 2)
    with pytest.raises(ValueError, match=r"shape \(4, 4\) do not fit"):
        GanOverSampler(source).fit_resample(np.zeros((13, 4, 4)), LABELS)


@pytest.mark.parametrize(
    ("data", "value_range", "white"),
    [
        (BLACK, None, (0, 1)),
        (BLACK - 1, None, (-1, 1)),
        (BLACK.astype(np.uint8), None, (0, 255)),
        (BLACK.astype(bool), None, (0, 1)),
        (BLACK * 0 + 16, (0, 16), (0, 16)),
        (BLACK.astype(np.int64), (0, 100), (0, 100)),
    ],
)
def test_ranges(data, value_range, white):
    x, y = GanOverSampler(Levels(), value_range=value_range, random_state=0).fit_resample(
        data, LABELS
    )
    low, high = white
    assert x.dtype == data.dtype
    assert x[13:][y[13:] == 3].astype(float).mean() == pytest.approx(
        low + 0.25 * (high - low) * (data.dtype != bool), abs=0.01 * (high - low)
    )


@pytest.mark.parametrize("value_range", [(0, 255), (-3, -2), (1, 0)])
def test_another_range_than_that_of_the_images_is_refused(value_range):
    x = np.linspace(0, 1, 13 * 16).reshape(13, 1, 4, 4)
    sampler = GanOverSampler(Levels(), value_range=value_range)
    with pytest.raises(ValueError, match=r"value_range=\("):
        sampler.fit_resample(x, LABELS)


def test_a_range_that_cannot_be_known_is_asked_for():
    with pytest.raises(
        ValueError, match="numbers from 16 to 16: say what black and white are by value_range"
    ):
        GanOverSampler(Levels()).fit_resample(BLACK + 16, LABELS)
    with pytest.raises(ValueError, match="value_range"):
        GanOverSampler(Levels()).fit_resample(BLACK.astype(np.int64), LABELS)


@pytest.mark.parametrize(
    ("strategy", "added"),
    [
        ("minority", {5: 6}),
        ("not minority", {3: 5}),
        (4, {3: 1, 5: 2}),
        (0.5, {3: 1, 5: 2}),
        ({5: 9}, {5: 7}),
        ({"5": 9}, {5: 7}),
        ({np.int64(3): 3}, {}),
        (lambda y: {5: (y == 7).sum() - 1}, {5: 5}),
    ],
)
def test_strategies(strategy, added):
    sampler = GanOverSampler(Levels(), sampling_strategy=strategy, random_state=0)
    assert sampler.fit(BLACK, LABELS).sampling_strategy_ == added
    assert len(sampler.fit_resample(BLACK, LABELS)[0]) == 13 + sum(added.values())


@pytest.mark.parametrize("kind", [str, float, object])
def test_labels_of_any_type_match_by_name(kind):
    labels = LABELS.astype(kind)
    _, y = GanOverSampler(Levels(), random_state=0).fit_resample(BLACK, labels)
    assert y.dtype == labels.dtype
    assert {str(int(float(label))) for label in y[13:]} == {"3", "5"}


def test_a_source_of_the_rare_classes_alone():
    sampler = GanOverSampler(Levels(classes=("5", "3")), random_state=0)
    _, y = sampler.fit_resample(BLACK, LABELS)
    assert dict(zip(*np.unique(y, return_counts=True), strict=True)) == {3: 8, 5: 8, 7: 8}


def test_labels_without_a_class_are_named():
    with pytest.raises(DataError, match="no class for the labels '8': it knows '5', '3', '7'"):
        GanOverSampler(Levels()).fit_resample(BLACK, np.where(LABELS == 3, 8, LABELS))
    with pytest.raises(ValueError, match="unknown class '8'"):
        GanOverSampler(Levels(), sampling_strategy={8: 5}).fit_resample(BLACK, LABELS)


def test_random_state():
    def drawn(state):
        return GanOverSampler(Levels(), random_state=state).fit_resample(BLACK, LABELS)[0][13:]

    assert (drawn(1) == drawn(1)).all()
    assert (drawn(np.random.RandomState(1)) == drawn(np.random.RandomState(1))).all()
    assert (drawn(1) != drawn(2)).any()
    assert (drawn(None) != drawn(None)).any()


def test_filter():
    def bright(x: Tensor, y: Tensor) -> Tensor:
        return x.mean((1, 2, 3)) > torch.tensor([0.0, -0.5, 0.5])[y]

    x, y = GanOverSampler(Levels(), random_state=0, accept=bright).fit_resample(BLACK, LABELS)
    assert len(x) == 24
    assert (x[13:][y[13:] == 5] > 0.5).all()


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (BLACK, LABELS[:5]),
        (BLACK[:0], LABELS[:0]),
        (BLACK.ravel(), LABELS),
        (BLACK * np.nan, LABELS),
    ],
)
def test_wrong_data(x, y):
    with pytest.raises(ValueError, match="X must"):
        GanOverSampler(Levels()).fit_resample(x, y)


def test_scikit_learn_conventions():
    source = Levels()
    sampler = GanOverSampler(source, sampling_strategy=9, random_state=3)
    assert sampler.get_params()["sampling_strategy"] == 9
    copied = clone(sampler).set_params(random_state=4)
    assert (copied.random_state, sampler.random_state) == (4, 3)
    assert "GanOverSampler" in repr(sampler)


def test_in_a_pipeline_it_adds_images_when_fitting_only():
    rng = np.random.default_rng(0)
    level = {3: -0.5, 5: 0.0, 7: 0.5}
    labels = np.array([7] * 40 + [3] * 12 + [5] * 8)
    images = np.array([level[label] for label in labels])[:, None] + rng.normal(0, 0.15, (60, 16))
    sampler = GanOverSampler(Levels(), random_state=0, value_range=(-1, 1))
    pipeline = make_pipeline(sampler, LogisticRegression())
    assert pipeline.fit(images, labels).predict(images).shape == (60,)
    assert cross_val_score(pipeline, images, labels, cv=3, scoring="balanced_accuracy").mean() > 0.9


def test_channels_last_gives_the_same_pixels():
    source = Levels(image_shape=(3, 4, 5))
    x, _ = GanOverSampler(source, random_state=0).fit_resample(np.zeros((13, 3, 4, 5)), LABELS)
    last, _ = GanOverSampler(source, random_state=0).fit_resample(np.zeros((13, 4, 5, 3)), LABELS)
    assert (last.transpose(0, 3, 1, 2) == x).all()


def test_data_frames_stay():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    columns = [f"pixel {i}" for i in range(16)]
    x = pandas.DataFrame(BLACK.reshape(13, 16), columns=columns, index=range(50, 63))
    y = pandas.Series(LABELS, name="kind", index=x.index)
    expected, labels = GanOverSampler(Levels(), random_state=0).fit_resample(x.to_numpy(), LABELS)
    for given in (y, y.to_frame()):
        more, found = GanOverSampler(Levels(), random_state=0).fit_resample(x, given)
        assert (type(more), type(found)) == (pandas.DataFrame, type(given))
        assert list(more.columns) == columns
        assert (more.to_numpy() == expected).all()
        assert (more.dtypes == x.dtypes).all()
        assert (found.to_numpy().ravel() == labels).all()


def tiny(**more):
    small = {"width": 4, "latent_dim": 3}
    return GanOverSampler(
        family="cvae_gan",
        steps=2,
        batch_size=4,
        options=small,
        random_state=0,
        value_range=(0, 1),
        **more,
    )


def test_a_family_is_trained_on_the_given_images_and_pickles():
    x = np.random.default_rng(0).random((13, 8, 8, 3), dtype=np.float32)
    sampler = tiny()
    more, y = sampler.fit_resample(x, LABELS)
    assert more.shape == (24, 8, 8, 3)
    assert dict(zip(*np.unique(y, return_counts=True), strict=True)) == {3: 8, 5: 8, 7: 8}
    assert sampler.source is None
    assert sampler.source_.classes == ("3", "5", "7")
    again = pickle.loads(pickle.dumps(sampler))
    trained = GanOverSampler(again.source_, random_state=0, value_range=(0, 1))
    assert (trained.fit_resample(x, LABELS)[0] == more).all()
    assert (again.fit_resample(x, LABELS)[0] == more).all()
    assert (tiny().fit_resample(1 - x, LABELS)[0][13:] != more[13:]).any()


def test_a_family_in_a_cross_validation_sees_the_rows_of_its_fold(monkeypatch):
    seen = []
    train = GanOverSampler._train

    def watched(self, images, seed):
        seen.append(set(fingerprints(images.x).tolist()))
        train(self, images, seed)

    monkeypatch.setattr(GanOverSampler, "_train", watched)
    rng = np.random.default_rng(0)
    x, y = rng.random((16, 64)), np.array([0] * 10 + [1] * 6)
    pipeline = make_pipeline(tiny(image_shape=(1, 8, 8)), LogisticRegression())
    assert len(cross_val_score(pipeline, x, y, cv=2)) == 2
    assert [len(fold) for fold in seen] == [8, 8]
    assert not seen[0] & seen[1]


def test_a_source_that_saw_other_images_is_refused():
    x = np.arange(13 * 16, dtype=np.uint8).reshape(13, 1, 4, 4)
    seen = fingerprints(torch.from_numpy(x))
    sampler = GanOverSampler(Levels(), random_state=0, trained_on=seen)
    assert len(sampler.fit_resample(x, LABELS)[0]) == 24
    with pytest.raises(DataError, match="trained on 4 images that are not among the 9 given"):
        sampler.fit_resample(x[4:], LABELS[4:])


def digits(count, seed=0):
    """Pictures of 8-bit pixels as flat floats in [0, 1], and two classes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 64))
    return pixels / 255, np.array([0] * (count - count // 3) + [1] * (count // 3))


def trained_source(x, y):
    options = {"width": 4, "latent_dim": 3}
    images = x.reshape(-1, 1, 8, 8)
    return train((images, y), family="cvae", steps=1, batch_size=4, options=options)


def test_a_source_that_saw_the_images_of_the_score_is_refused_in_a_cross_validation():
    x, y = digits(24)
    sampler = GanOverSampler(trained_source(x, y), random_state=0)
    pipeline = make_pipeline(sampler, LogisticRegression())
    with pytest.raises(DataError, match="trained on 12 images that are not among the 12 given"):
        cross_val_score(pipeline, x, y, cv=2, error_score="raise")
    assert len(pipeline.fit(x, y).predict(x)) == 24


WRAPPED = {
    "scaled": lambda source: ScaledLatents(source, 1.5),
    "donated": lambda source: DonatedLatents(source, [torch.zeros(2, 3)] * 2, 0.1),
    "mixed": lambda source: MixedClasses(source, torch.eye(2), source.classes),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_wrapped_source_has_seen_what_it_renders_from(wrap):
    x, y = digits(24)
    source = wrap(trained_source(x, y))
    with pytest.raises(DataError, match="trained on 12 images that are not among the 12 given"):
        GanOverSampler(source, random_state=0).fit_resample(x[::2], y[::2])


def test_a_source_of_the_training_part_alone_serves_it_and_its_copies_and_pickles_do():
    x, y = digits(24)
    part, rest = np.arange(24) % 2 == 0, np.arange(24) % 2 == 1
    sampler = GanOverSampler(trained_source(x[part], y[part]), random_state=0)
    for one in (sampler, clone(sampler), pickle.loads(pickle.dumps(sampler))):
        assert len(one.fit_resample(x[part], y[part])[0]) == 16
        some = np.flatnonzero(part)[1:]
        with pytest.raises(DataError, match="trained on 1 images that are not among the 11 given"):
            one.fit_resample(x[some], y[some])
    mixed = np.concatenate([np.flatnonzero(part), np.flatnonzero(rest)[:3]])
    assert len(sampler.fit_resample(x[mixed], y[mixed])[0]) > len(mixed)


def test_a_source_of_other_images_passes_unless_it_is_said_that_they_count():
    source, (x, y) = trained_source(*digits(24)), digits(12, seed=1)
    assert len(GanOverSampler(source, random_state=0).fit_resample(x, y)[0]) == 16
    told = GanOverSampler(source, random_state=0, trained_on=source.record.trained_on)
    with pytest.raises(DataError, match="trained on 24 images"):
        told.fit_resample(x, y)


def test_what_is_scored_nowhere_may_have_been_seen():
    x, y = digits(24)
    nowhere = np.array([], dtype=np.int64)
    sampler = GanOverSampler(trained_source(x, y), random_state=0, trained_on=nowhere)
    assert len(cross_val_score(make_pipeline(sampler, LogisticRegression()), x, y, cv=2)) == 2


def test_wrong_families():
    for wrong in ({}, {"source": Levels(), "family": "cvae"}):
        with pytest.raises(ValueError, match="either a trained source or the family"):
            GanOverSampler(**wrong).fit_resample(BLACK, LABELS)
    with pytest.raises(ValueError, match="unknown family 'gann'; known: cvae_gan"):
        GanOverSampler(family="gann").fit_resample(BLACK, LABELS)
    with pytest.raises(ValueError, match="say image_shape"):
        GanOverSampler(family="cvae").fit_resample(BLACK.reshape(13, 16), LABELS)


class OfAnyWidth(GanOverSampler):
    """The checks of imbalanced-learn bring rows of 2, 3 and 20 numbers; a source has one shape."""

    def _require_shape(self, images):
        self.source = Levels(("0", "1", "2"), (1, 1, images.shape[1]))
        return super()._require_shape(images)


CHECKS = parametrize_with_checks([OfAnyWidth(Levels(), random_state=0, value_range=(-10, 10))]).mark
EVERY = list(CHECKS.args[1])  # pytest 9 wants a list; the mark holds a generator


@pytest.mark.parametrize(
    ("estimator", "check"), EVERY, ids=lambda one: getattr(one, "__name__", "")
)
def test_the_checks_of_imbalanced_learn(estimator, check):
    check(estimator)


def test_what_the_checks_read():
    tags = OfAnyWidth(Levels()).__sklearn_tags__()
    assert tags.input_tags.dataframe
    assert not tags.no_validation  # otherwise they would check nothing
    assert len(EVERY) >= 14


def test_lists_stay_lists():
    x, y = GanOverSampler(Levels(), random_state=0).fit_resample(BLACK.tolist(), LABELS.tolist())
    expected, labels = GanOverSampler(Levels(), random_state=0).fit_resample(BLACK, LABELS)
    assert (x, y) == (expected.tolist(), labels.tolist())


def test_a_column_per_class():
    columns = (LABELS[:, None] == [3, 5, 7]).astype(int)
    source = Levels(("1", "0", "2"))  # 5 is column 1, 3 is column 0
    x, y = GanOverSampler(source, random_state=0).fit_resample(BLACK, columns)
    expected, labels = GanOverSampler(Levels(), random_state=0).fit_resample(BLACK, LABELS)
    assert (x == expected).all()
    assert (y == (labels[:, None] == [3, 5, 7])).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 0.5, "Unknown label type: labels are class names or whole numbers"),
        (np.ones((13, 2)), "Multilabel and multioutput targets are not supported"),
        (LABELS * 0 + 7, "a single class"),
    ],
)
def test_wrong_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        GanOverSampler(Levels()).fit_resample(BLACK, labels)


def test_the_example_runs():
    found = doctest.testmod(oversampler)
    assert found.failed == 0
    assert found.attempted
