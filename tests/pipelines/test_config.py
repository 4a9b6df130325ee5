from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream.comparison import FEWEST_TO_DECIDE
from pipelines.config import (
    Config,
    ConfigError,
    DataConfig,
    config_from,
    data_root,
    dump_config,
    load_config,
    parse_config,
)
from pipelines.strict_yaml import LARGEST_FILE

LETTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])


def words(min_size: int, max_size: int) -> st.SearchStrategy[str]:
    return st.text(LETTERS, min_size=min_size, max_size=max_size)


def test_an_empty_file_is_the_default_config(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# nothing\n")
    assert load_config(path) == Config()


def test_every_example_config_loads_and_says_its_command() -> None:
    root = Path(__file__).parents[2]
    paths = [*root.glob("configs/*/*.yaml"), *root.glob("docs/results/**/config.yaml")]
    assert len(paths) > 40
    for path in paths:
        load_config(path)
        first, *_ = path.read_text().splitlines()
        assert first.startswith("# augmentor "), path
        assert path.relative_to(root).as_posix() in first, path


def test_a_config_to_begin_with_leads_to_advice() -> None:
    for path in (Path(__file__).parents[2] / "configs" / "start").glob("*.yaml"):
        config = load_config(path)
        assert config.gain.replicates >= FEWEST_TO_DECIDE, path
        assert config.semi.subsets >= FEWEST_TO_DECIDE, path


@given(
    st.builds(
        lambda size, labels, steps, rate, options, arms: {
            "data": {"size": size, "labels": labels},
            "source": {"steps": steps, "options": options},
            "classifier": {"learning_rate": rate},
            "gain": {"arms": arms},
        },
        st.sampled_from([None, 8, 16, 28, 32, 64, 128]),
        st.none() | st.integers(1, 10**6),
        st.integers(1, 10**9),
        st.floats(1e-12, 1e3),
        st.dictionaries(
            words(1, 8),
            st.booleans() | st.integers() | st.floats(-1e30, 1e30) | words(0, 8),
        ),
        st.none() | st.lists(words(1, 5), min_size=1, max_size=3),
    )
)
def test_dump_and_parse_give_the_config_back(mapping: dict[str, object]) -> None:
    config = config_from(mapping)
    again = parse_config(dump_config(config), where="x")
    assert again == config
    assert [type(v) for v in again.source.options.values()] == [
        type(v) for v in config.source.options.values()
    ]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (
            {"source": {"stepz": 3}},
            ["f.yaml", "'source.stepz'", "did you mean 'steps'", "family, preset, steps"],
        ),
        (
            {"dat": {}},
            ["'dat'", "did you mean 'data'", "gain, semi, compare, verify, engine, seed"],
        ),
        ({"data": 5}, ["f.yaml: data: must be a section of keys, found 5"]),
        ({"gain": {"arms": "real"}}, ["gain.arms: must be a list, found 'real'"]),
        ({"out": 5}, ["out: must be a path, found 5"]),
        ({"data": {"rare": {"classes": -1}}}, ["data.rare.classes: Input should be greater"]),
        ({"source": {"steps": "100"}}, ["source.steps", "valid integer", "'100'"]),
        ({"source": {"steps": True}}, ["source.steps", "valid integer"]),
        ({"source": {"steps": 0}}, ["source.steps", "greater than or equal to 1"]),
        ({"data": {"size": 33}}, ["data.size", "33"]),
        (
            {"data": {"labels": 10, "per_class": 5}},
            ["f.yaml: data: labels and per_class are two regimes"],
        ),
        ({"data": {"imbalance": 10}}, ["imbalance needs per_class"]),
        ({"data": {"unlabelled": "rest"}}, ["nothing is left over"]),
        ({"classifier": {"learning_rate": float("nan")}}, ["classifier.learning_rate"]),
        ({"gain": {"shares": [0.5, 1.5]}}, ["gain.shares.1", "less than or equal to 1"]),
        ({"gain": {"shares": []}}, ["gain.shares"]),
        ({"device": "gpu"}, ["device"]),
        ({"source": 3}, ["source", "found 3"]),
    ],
)
def test_errors_name_file_key_and_what_is_known(
    mapping: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(mapping, where="f.yaml")
    for word in words:
        assert word in str(caught.value)


def test_unreadable_files_are_config_errors(tmp_path: Path) -> None:
    latin, large = tmp_path / "latin.yaml", tmp_path / "large.yaml"
    latin.write_bytes(b"out: caf\xe9")
    large.write_text("#" * (LARGEST_FILE + 1))
    for path in (latin, large, tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ConfigError, match=path.name):
            load_config(path)


def test_configs_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]


def test_the_data_root_is_the_config_then_the_environment_then_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUGMENTOR_DATA", "/somewhere")
    assert data_root(DataConfig(data_root=Path("/mine"))) == Path("/mine")
    assert data_root(DataConfig()) == Path("/somewhere")
    monkeypatch.setenv("AUGMENTOR_DATA", "")
    assert data_root(DataConfig()) == Path.home() / ".cache" / "augmentor"


def test_a_generator_of_conditions_is_the_one_that_was_measured_where_none_is_named() -> None:
    known: dict[str, Any] = {"data": {"data": "digits-conditions", "condition": ["look"]}}
    assert Config().with_family() == Config()
    assert config_from(known).with_family().source.family == "cvae"
    assert config_from(known).with_family().source.options == {"latent_dim": 8}
    own = config_from(known | {"source": {"steps": 7, "options": {"latent_dim": 4, "width": 16}}})
    assert own.with_family().source.options == {"latent_dim": 4, "width": 16}
    assert own.with_family().source.steps == 7
    assert own.with_family().with_family() == own.with_family()
    for named in ({"family": "cvae_gan"}, {"preset": "default"}):
        chosen = config_from(known | {"source": named})
        assert chosen.with_family() is chosen
