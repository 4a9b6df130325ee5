"""The jobs as functions of objects. Each makes a configuration and calls the job that the command
line calls.

Images may be a folder or the name of a data set, as on the command line; a data set of torchvision
or Hugging Face, or any other of (image, label); a pair of arrays (images, labels), where images are
(N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1] or [-1, 1]; or a table of paths
and labels. What is not on the disk is written into the folder of the run once, without loss.

Every function takes further sections of the configuration by name, with the keys that
``docs/config.md`` lists: ``gain(…, gain={"shares": [0.5]}, classifier={"steps": 300})``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.progress import Progress
from pipelines.python.given_data import GivenData, sets_by_name
from pipelines.python.pictures import Range
from pipelines.python.results import CompareResult, GainResult, SemiResult, VerifyResult
from pipelines.python.settings import command_words, prepared, reporter

if TYPE_CHECKING:
    from pipelines.check import CheckReport
    from pipelines.generators.synthesize import SynthesisReport
    from pipelines.generators.train import TrainResult

Known = Mapping[str, Sequence[Any]]
"""What is known of every image beside its class, by column."""


def gain(
    train_set: Any,
    test_set: Any = None,
    synthetic: Any = None,
    *,
    model: str | None = None,
    pretrained: bool | None = None,
    size: int | None = None,
    metric: str | None = None,
    arms: Sequence[str] | None = None,
    replicates: int | None = None,
    condition: str | Sequence[str] | None = None,
    conditions: Known | None = None,
    test_conditions: Known | None = None,
    family: str | None = None,
    steps: int | None = None,
    class_names: Sequence[str] | None = None,
    value_range: Range | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str | None = None,
    processes: int | Literal["auto"] | None = None,
    progress: bool | Progress = True,
    **settings: Any,
) -> GainResult:
    """Measure what synthetic images add to a classifier, beside arms that need none.

    Args:
        train_set: Training images with labels.
        test_set: Test images; without them the part of a folder that ``data.test_fraction`` says.
        synthetic: Images that another generator made: a set, a list of sets, or sets in memory by
            name (a folder is called after itself). None trains a generator where an arm needs one.
        model: Any network of timm; ``auto`` unless given, a small one that suits the images.
        pretrained: Whether the network begins with timm's weights.
        size: Side of the square images.
        metric: What arms are compared by; ``balanced_accuracy`` unless given.
        arms: Names of the arms to run.
        replicates: Repetitions with seeds of their own; 5 unless given.
        condition: What is known beside the class: columns of a table or Hugging Face data set, or
            of the metadata of a folder; all columns of ``conditions`` unless given.
        conditions: For images in memory: a value per training image, by column, such as
            ``{"light": ["day", "night", …]}``.
        test_conditions: Likewise per test image.
        family: The generator; ``cvae_gan`` unless given, with a condition ``cvae``.
        steps: Training steps of the generator.
        class_names: Names of the labels, where these are whole numbers.
        value_range: What black and white are in arrays of other numbers, such as (0, 255).
        out: Folder of the run; ``runs/gain-<digest>`` unless given. A call with the same images
            and folder trains only what is missing.
        seed: Of everything random.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        processes: Replicates that run at the same time, 1 unless given; ``auto`` is one for each
            core. A script then needs the guard ``if __name__ == "__main__":``.
        progress: Whether to show progress, or whom to report it to.
        **settings: Other sections of the configuration, by name.

    Returns:
        The verdict, the arms and the rest.

    Raises:
        ConfigError: If a name or value is wrong, or ``out`` holds a run of other images.
        DataError: If the images cannot be used, or a test image is also a training image.
        ValueError: If labels or numbers of pixels cannot be told; says what to give.

    Example:
        >>> result = gain("digits", arms=["real", "classical"], replicates=2, out=folder,
        ...               progress=False, classifier={"steps": 2}, data={"per_class": 2})
        >>> sorted(result.arms)
        ['classical', 'real']
    """
    from pipelines.gain.run import gain_run

    sets = sets_by_name(synthetic)
    columns = _names(condition, conditions)
    known = (columns, conditions, test_conditions)
    given = GivenData(train_set, test_set, sets, class_names, value_range, *known)
    keys = _usual(size, columns, family, steps, seed, device) | {
        "classifier.name": model,
        "classifier.pretrained": pretrained,
        "gain.metric": metric,
        "gain.arms": arms,
        "gain.replicates": replicates,
        "gain.processes": processes,
    }
    config, folder = prepared("gain", given, keys, settings, out)
    with reporter(progress) as shown:
        words = command_words("gain", config)
        return GainResult(gain_run(config, folder, progress=shown, command=words), folder)


def train(
    train_set: Any,
    test_set: Any = None,
    *,
    family: str | None = None,
    steps: int | None = None,
    size: int | None = None,
    condition: str | Sequence[str] | None = None,
    conditions: Known | None = None,
    test_conditions: Known | None = None,
    class_names: Sequence[str] | None = None,
    value_range: Range | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str | None = None,
    progress: bool | Progress = True,
    **settings: Any,
) -> TrainResult:
    """Train a generator; a call with the same images and folder resumes where it was cut off.

    Args:
        train_set: Images with labels. Without a ``test_set`` a part of them is kept for tests, so
            that the generator never sees it; ``data={"test_fraction": …}`` says how much.
        test_set: Test images, which are not read.
        family: The generator; ``cvae_gan`` unless given, with a condition ``cvae``.
        steps: Training steps.
        size: Side of the square images.
        condition: What is known beside the class: columns of a table or Hugging Face data set, or
            of the metadata of a folder; all columns of ``conditions`` unless given.
        conditions: For images in memory: a value per training image, by column, such as
            ``{"light": ["day", "night", …]}``.
        test_conditions: Likewise per test image.
        class_names: Names of the labels, where these are whole numbers.
        value_range: What black and white are in arrays of other numbers.
        out: Folder of the run; ``runs/train-<digest>`` unless given.
        seed: Of everything random.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: Whether to show progress, or whom to report it to.
        **settings: Other sections of the configuration, by name.

    Returns:
        The folder of the run, which ``synthesize`` and ``augmentor.load`` take, and its losses.

    Raises:
        ConfigError: If a name or value is wrong, or ``out`` holds another run.
        DataError: If the images cannot be used.
        ValueError: If labels or numbers of pixels cannot be told.
    """
    from pipelines.generators.train import train_run

    columns = _names(condition, conditions)
    known = (columns, conditions, test_conditions)
    given = GivenData(train_set, test_set, None, class_names, value_range, *known)
    keys = _usual(size, columns, family, steps, seed, device)
    config, folder = prepared("train", given, keys, settings, out)
    with reporter(progress) as shown:
        return train_run(config, folder, resume=True, progress=shown)


def synthesize(
    run: TrainResult | str | Path,
    out: str | Path | None = None,
    *,
    class_balance: str | None = None,
    per_class: int | None = None,
    ratio: float | None = None,
    fill: int | None = None,
    classes: Sequence[str] | None = None,
    filter: str | None = None,
    spread: float | None = None,
    seed: int = 0,
    format: Literal["folder", "shards"] = "folder",
    device: str | None = None,
    processes: int = 1,
    progress: bool | Progress = True,
) -> SynthesisReport:
    """Write synthetic images of a trained generator; a repeat finishes what is missing.

    How many is said by one of ``class_balance`` (``auto`` unless given), ``per_class``, ``ratio``
    and ``fill``.

    Args:
        run: What ``train`` returned, or the folder of a run.
        out: Folder of the set, or a URL such as ``s3://bucket/set`` for shards; ``synthetic`` in
            the folder of the run unless given.
        class_balance: ``auto`` fills every class up to the largest; or another word of
            imbalanced-learn.
        per_class: Images of every class.
        ratio: Images per real one of a class.
        fill: Real and synthetic images of every combination of class and condition in all; 0 for
            as many as the fullest has.
        classes: Names of the classes to render.
        filter: ``confidence=P``: keep images that a classifier is this sure of.
        spread: Standard deviation of the latents; 1 unless given, with ``fill`` 0.8, as ``gain``
            renders combinations.
        seed: Of the set.
        format: A folder of images per class, or tar shards.
        device: Where to compute; where the run was trained unless given.
        processes: Shards that are rendered at the same time; a script then needs the guard
            ``if __name__ == "__main__":``.
        progress: Whether to show progress, or whom to report it to.

    Returns:
        The folder of the set and the images per class.

    Raises:
        ConfigError: If an option cannot be read.
        DataError: If there is nothing to add, or ``out`` holds something else.
    """
    from augmentor.data.remote_folder import is_url
    from pipelines.generators.synthesize import synthesize_run

    source = Path(run) if isinstance(run, str | Path) else run.run
    with reporter(progress) as shown:
        return synthesize_run(
            source,
            source / "synthetic" if out is None else out if is_url(out) else Path(out),
            strategy=class_balance,
            per_class=per_class,
            ratio=ratio,
            fill=fill,
            classes=classes,
            filter=filter,
            spread=spread,
            seed=seed,
            format=format,
            device=device,
            processes=processes,
            progress=shown,
        )


def semi(
    train_set: Any,
    test_set: Any = None,
    *,
    labels: Sequence[int] | None = None,
    methods: Sequence[str] | None = None,
    subsets: int | None = None,
    model: str | None = None,
    size: int | None = None,
    class_names: Sequence[str] | None = None,
    value_range: Range | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str | None = None,
    processes: int | Literal["auto"] | None = None,
    progress: bool | Progress = True,
    **settings: Any,
) -> SemiResult:
    """Measure semi-supervised methods: few labels, the other training images without labels.

    Args:
        train_set: Training images with labels, of which few are used.
        test_set: Test images; without them the part of a folder that ``data.test_fraction`` says.
        labels: Numbers of labelled images; 20 and 100 unless given.
        methods: Names of the methods to run.
        subsets: Labelled subsets of every size; 5 unless given.
        model: Any network of timm; ``auto`` unless given.
        size: Side of the square images.
        class_names: Names of the labels, where these are whole numbers.
        value_range: What black and white are in arrays of other numbers.
        out: Folder of the run; ``runs/semi-<digest>`` unless given.
        seed: Of everything random.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        processes: Trainings that run at the same time; see ``gain``.
        progress: Whether to show progress, or whom to report it to.
        **settings: Other sections of the configuration, by name.

    Returns:
        The verdict, and the errors by method and number of labels.

    Raises:
        ConfigError, DataError, ValueError: As :func:`gain`.
    """
    from pipelines.semi.run import semi_run

    given = GivenData(train_set, test_set, None, class_names, value_range)
    keys = _usual(size, (), None, None, seed, device) | {
        "classifier.name": model,
        "semi.labels": labels,
        "semi.methods": methods,
        "semi.subsets": subsets,
        "semi.processes": processes,
    }
    config, folder = prepared("semi", given, keys, settings, out)
    with reporter(progress) as shown:
        words = command_words("semi", config)
        return SemiResult(semi_run(config, folder, progress=shown, command=words), folder)


def compare(
    train_set: Any,
    test_set: Any = None,
    *,
    families: Sequence[str] | None = None,
    steps: int | None = None,
    samples: int | None = None,
    size: int | None = None,
    class_names: Sequence[str] | None = None,
    value_range: Range | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str | None = None,
    processes: int | Literal["auto"] | None = None,
    progress: bool | Progress = True,
    **settings: Any,
) -> CompareResult:
    """Train families of generators with one budget, and measure them with one judge.

    Args:
        train_set: Training images with labels.
        test_set: Test images; without them the part of a folder that ``data.test_fraction`` says.
        families: Names of the families; all unless given.
        steps: Training steps of each.
        samples: Generated images that every row rests on.
        size: Side of the square images.
        class_names: Names of the labels, where these are whole numbers.
        value_range: What black and white are in arrays of other numbers.
        out: Folder of the run; ``runs/compare-<digest>`` unless given.
        seed: Of everything random.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        processes: Families that are trained at the same time; see ``gain``.
        progress: Whether to show progress, or whom to report it to.
        **settings: Other sections of the configuration, by name.

    Returns:
        The verdict, and what was measured of every family.

    Raises:
        ConfigError, DataError, ValueError: As :func:`gain`.
    """
    from pipelines.compare.run import compare_run

    given = GivenData(train_set, test_set, None, class_names, value_range)
    keys = _usual(size, (), None, steps, seed, device) | {
        "compare.families": families,
        "compare.samples": samples,
        "compare.processes": processes,
    }
    config, folder = prepared("compare", given, keys, settings, out)
    with reporter(progress) as shown:
        words = command_words("compare", config)
        return CompareResult(compare_run(config, folder, progress=shown, command=words), folder)


def verify(
    train_set: Any,
    test_set: Any = None,
    synthetic: Any = None,
    *,
    pairs: str | Path | None = None,
    model: str | None = None,
    replicates: int | None = None,
    size: int | None = None,
    class_names: Sequence[str] | None = None,
    value_range: Range | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str | None = None,
    processes: int | Literal["auto"] | None = None,
    progress: bool | Progress = True,
    **settings: Any,
) -> VerifyResult:
    """Train a network to tell people, and score pairs of people it has not seen.

    Args:
        train_set: Photos with the names of people.
        test_set: Photos of the same people that are not trained on.
        synthetic: Folders of synthetic sets, each an arm; one or a list.
        pairs: Folder with ``pairs.csv`` and its images.
        model: Any network of timm; ``auto`` unless given.
        replicates: Repetitions with seeds of their own; 3 unless given.
        size: Side of the square images.
        class_names: Names of the labels, where these are whole numbers.
        value_range: What black and white are in arrays of other numbers.
        out: Folder of the run; ``runs/verify-<digest>`` unless given.
        seed: Of everything random.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        processes: Replicates that run at the same time; see ``gain``.
        progress: Whether to show progress, or whom to report it to.
        **settings: Other sections of the configuration, by name.

    Returns:
        The verdict, and how well each arm tells pairs.

    Raises:
        ConfigError, DataError, ValueError: As :func:`gain`.
    """
    from pipelines.verify.run import verify_run

    sets = sets_by_name(synthetic)
    given = GivenData(train_set, test_set, sets, class_names, value_range)
    keys = _usual(size, (), None, None, seed, device) | {
        "verify.pairs": None if pairs is None else str(pairs),
        "classifier.name": model,
        "verify.replicates": replicates,
        "verify.processes": processes,
    }
    config, folder = prepared("verify", given, keys, settings, out)
    with reporter(progress) as shown:
        words = command_words("verify", config)
        return VerifyResult(verify_run(config, folder, progress=shown, command=words), folder)


def check(
    train_set: Any,
    test_set: Any = None,
    *,
    size: int | None = None,
    condition: str | Sequence[str] | None = None,
    conditions: Known | None = None,
    test_conditions: Known | None = None,
    class_names: Sequence[str] | None = None,
    value_range: Range | None = None,
    out: str | Path | None = None,
    progress: bool | Progress = True,
    **settings: Any,
) -> CheckReport:
    """Read every image and list what a run would meet: counts, bad files, copies of test images.

    Args:
        train_set: Training images with labels.
        test_set: Test images; without them the part of a folder that ``data.test_fraction`` says.
        size: Side of the square images.
        condition: What is known beside the class: columns of a table or Hugging Face data set, or
            of the metadata of a folder; all columns of ``conditions`` unless given.
        conditions: For images in memory: a value per training image, by column, such as
            ``{"light": ["day", "night", …]}``.
        test_conditions: Likewise per test image.
        class_names: Names of the labels, where these are whole numbers.
        value_range: What black and white are in arrays of other numbers.
        out: Folder that images in memory are written to; ``runs/check-<digest>`` unless given.
        progress: Whether to show progress, or whom to report it to.
        **settings: Other sections of the configuration, by name.

    Returns:
        The report; ``ok`` says whether the images can be used, ``text()`` prints it.

    Raises:
        ConfigError, DataError, ValueError: As :func:`gain`.

    Example:
        >>> check("digits", progress=False).ok
        True
    """
    from pipelines.check import check_data

    columns = _names(condition, conditions)
    known = (columns, conditions, test_conditions)
    given = GivenData(train_set, test_set, None, class_names, value_range, *known)
    keys = _usual(size, columns, None, None, None, None)
    config, _ = prepared("check", given, keys, settings, out)
    with reporter(progress) as shown:
        return check_data(config.data, shown)


def _names(condition: str | Sequence[str] | None, conditions: Known | None) -> tuple[str, ...]:
    if isinstance(condition, str):
        return (condition,)
    return tuple(condition or (str(name) for name in conditions or ()))


def _usual(
    size: int | None,
    condition: Sequence[str],
    family: str | None,
    steps: int | None,
    seed: int | None,
    device: str | None,
) -> dict[str, Any]:
    """Keys that several jobs have."""
    return {
        "data.size": size,
        "data.condition": condition or None,
        "source.family": family,
        "source.steps": steps,
        "seed": seed,
        "device": device,
    }
