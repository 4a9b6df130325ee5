import pytest

from augmentor.families import FAMILIES
from augmentor.families.cvae_gan import CvaeGanOptions

CVAE_GAN = FAMILIES["cvae_gan"]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_default_and_one_class_of_options(name):
    presets = FAMILIES[name].presets
    assert "default" in presets
    assert len({type(options) for options in presets.values()}) == 1
    assert {"width", "ema_decay", "bfloat16"} <= set(vars(presets["default"]))


def test_overrides_replace_what_they_name_and_nothing_else():
    options = CVAE_GAN.options_for("paper", {"width": 8, "weight_kl": 2})
    assert (options.width, options.weight_kl, options.latent_dim) == (8, 2.0, 256)
    assert isinstance(options.weight_kl, float)
    assert CVAE_GAN.options_for("default", {}) == CvaeGanOptions()


def test_names_that_are_not_known_are_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"unknown preset 'best'; known: \['default', 'paper'\]"):
        CVAE_GAN.options_for("best", {})
    with pytest.raises(ValueError, match=r"unknown options \['depth'\]; known: .*'width'"):
        CVAE_GAN.options_for("default", {"depth": 3})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("width", "wide", "a whole number, 1 or more, found 'wide'"),
        ("width", 3.0, "a whole number"),
        ("width", True, "a whole number"),
        ("width", 0, "1 or more"),
        ("weight_kl", "heavy", "a number, 0 or more"),
        ("weight_kl", False, "a number"),
        ("weight_kl", -0.1, "0 or more"),
        ("centre_decay", 1.0, "0 or more and below 1"),
        ("ema_decay", 2, "0 or more and below 1"),
        ("weight_kl", float("nan"), "a number"),
        ("projection", 1, "true or false"),
        ("game", "chess", "minimax or .*hinge"),
        ("game", 3, "minimax or"),
        ("diff_augment", 3, "text"),
    ],
)
def test_values_an_option_does_not_take_are_refused_with_what_it_takes(name, value, wanted):
    with pytest.raises(ValueError, match=f"option {name} must be .*{wanted}"):
        CVAE_GAN.options_for("default", {name: value})


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_images_that_are_not_square_are_refused_before_any_training(name):
    family = FAMILIES[name]
    with pytest.raises(ValueError, match=r"images must be square, found the shape \(1, 16, 8\)"):
        family.model(("a", "b"), (1, 16, 8), family.presets["default"])
