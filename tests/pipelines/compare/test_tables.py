from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from augmentor.common.types import LabelledImages
from pipelines.compare.pictures import grids, shown_counts
from pipelines.compare.report import compare_report
from pipelines.compare.tables import as_markdown, compare_table
from pipelines.datasets import DataBundle, load_data
from pipelines.report.pictures import packed, unpacked
from pipelines.results import read_result, write_result
from tests.pipelines.compare.made_up import REAL, result_of, row, tiny
from tests.pipelines.html_page import Page, assert_self_contained


def images_shown(images: LabelledImages, *kinds: str) -> dict[str, str]:
    return dict.fromkeys(kinds, packed(images.x))


def test_the_tables_line_by_line() -> None:
    full = row(top1=0.991, equal_budget=False, step=7000)
    result = result_of(cvae=row(), cgan=row(top1=0.95, fid=3.5), cvae_gan_full=full)
    page = as_markdown(result).splitlines()
    lines = [line for line in page if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == (
        "| real data | 99.00 | 9.80 | 0.050 | 0.10 | 0.950 | 0.960 | 0.940 | 0.950 | 1.000 | 98.50 "
        "| – | – | – | – | 5000 |"
    )
    assert lines[3] == (
        "| cvae | 90.00 | 8.50 | 2.500 | 12.30 | 0.800 | 0.700 | 0.750 | 0.600 | 0.875 | 92.50 "
        "| 0.25 | 123 | 3457 | 1.76 / 3.18 | 5000 |"
    )
    assert lines[5].startswith("| cvae_gan_full (7,000 steps of 64) | 99.10 |")
    text = compare_table(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "\nbudget: 1,500 steps of 64 images, 96,000 in all" in text
    for cell in ("cvae_gan_full (7,000", "99.10", "123", "3457", "1.76 / 3.18"):
        assert cell in text


def test_columns_say_which_direction_is_good() -> None:
    result = result_of(cvae=row())
    shown = load_data(tiny().data, 0).test.subset(torch.arange(20))
    bundle = load_data(tiny().data, 0)
    page = compare_report(result, {"cvae": images_shown(shown, "samples")}, bundle)
    terminal = compare_table(result)
    for title in ("top-1 % ↑", "FID ↓", "recall ↑", "images / s ↑"):
        assert f"| {title} |" in as_markdown(result)
        assert f">{title}</th>" in page
    for title in ("top-1 % ↑", "FID ↓", "divers →1", "s/1000 ↓"):
        assert title in terminal


def test_a_row_of_fewer_samples_has_real_data_of_as_few_beside_it() -> None:
    few = row(top1=1.0, samples=500, real_at_as_few=REAL | {"fid": 0.5}, bits_per_dimension=1.2345)
    page = as_markdown(result_of(cvae=row(), pixel_cnn=few))
    assert "| real data, 500 images | 99.00 | 9.80 | 0.500 |" in page
    assert "pixel_cnn: 1.234 bits per dimension on the 10000 test images" in page


def test_warnings_are_told_per_row() -> None:
    warned = row(warnings=["collapsed", "ignores the label"])
    page = as_markdown(result_of(cvae=warned, cgan=row()))
    assert "- Warning, cvae: collapsed; ignores the label." in page
    assert "Warning, cgan" not in page


def test_the_best_cell_that_is_marked_is_not_one_of_a_row_that_is_warned_about() -> None:
    bundle = load_data(tiny().data, 0)
    warned = row(top1=0.987, warnings=["collapsed: all of it"])
    page = compare_report(result_of(cvae=row(), cgan=warned), {}, bundle)
    assert "<b>90.00</b>" in page
    assert "<b>98.70</b>" not in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"budget": {"steps": 1500, "batch_size": 64, "images": 64}},
            "budget.images is not steps times batch_size",
        ),
        (
            {"families": {"cvae": row(step=1499)}},
            "family 'cvae' has 1499 steps, the budget is 1500",
        ),
        ({"families": {"cvae": row(top1=1.5)}}, r"families\.cvae\.top1"),
        ({"families": {}}, "families"),
        ({"setup": {}}, "schema 2 needs a setup"),
        ({"verdict": "one sentence"}, "schema 2 needs a setup, and a verdict with advice"),
    ],
)
def test_a_result_that_breaks_its_promise_is_not_written(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    result = result_of(cvae=row())
    write_result(tmp_path / "compare.json", result, "compare")
    with pytest.raises(ValueError, match=words):
        write_result(tmp_path / "other.json", result | changes, "compare")
    assert not (tmp_path / "other.json").exists()


def test_a_result_of_schema_1_is_still_read(tmp_path: Path) -> None:
    old = result_of(cvae=row()) | {"schema": 1, "verdict": "cvae is best."}
    del old["setup"]
    write_result(tmp_path / "compare.json", old, "compare")
    assert read_result(tmp_path / "compare.json", "compare")["schema"] == 1


@pytest.mark.parametrize(("num_classes", "tiles"), [(3, 18), (10, 20), (62, 20)])
def test_pictures_have_about_twenty_columns_whatever_the_classes(
    num_classes: int, tiles: int
) -> None:
    assert sum(shown_counts(num_classes).values()) == tiles
    x, y = torch.zeros(2 * 20 * num_classes, 3, 8, 8), torch.arange(num_classes).repeat(40)
    images = LabelledImages(x, y, tuple(f"person {c}" for c in range(num_classes)))
    bundle = DataBundle("faces", "all", images, images, None, "")
    samples = images_shown(images.subset(torch.arange(tiles)), "samples")
    found = grids({"cvae": samples, "cgan": samples}, bundle)
    assert set(found) == {"compare"}
    assert found["compare"].width < 1200


def test_packed_images_come_back_in_eight_bits() -> None:
    for channels in (1, 3):
        x = torch.rand(4, channels, 6, 6) * 2 - 1
        assert (unpacked(packed(x)) - x).abs().max() <= 1 / 255 + 1e-6


def test_texts_from_outside_are_escaped() -> None:
    bundle = load_data(tiny().data, 0)
    shown = bundle.test.subset(torch.arange(20))
    result = result_of(cvae=row(warnings=["<b>collapsed"])) | {"dataset": "<script>bad"}
    pictures = {"cvae": images_shown(shown, "samples", "reconstructions")}
    page = compare_report(result, pictures, bundle)
    assert "<script>bad" not in page
    assert "<b>collapsed" not in page
    assert "&lt;script>" in as_markdown(result)


def test_the_page_is_whole_and_tells_the_setup() -> None:
    bundle = load_data(tiny().data, 0)
    page = Page(compare_report(result_of(cvae=row()), {}, bundle))
    assert_self_contained(page)
    assert "official split" in page.texts
