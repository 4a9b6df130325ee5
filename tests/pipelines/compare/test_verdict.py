from __future__ import annotations

import pytest

from pipelines.compare.verdict import leaders, order_of, paper_order
from tests.pipelines.compare.made_up import result_of, row

DEAF = "ignores the label: a latent gives almost the same image for every class"
COLLAPSED = "collapsed: images of 0, 1, 2 are almost the same whatever the latent"
COPIES = "memorised: about 40 % of the samples look like copies of training images"
NEAR = "near copies: 12.0 % of the samples are as near to an image the source has seen"
LUCK = "one training per family: small differences may be luck"


def test_the_verdict_names_the_best_at_equal_budget_alone() -> None:
    full = row(top1=0.991, equal_budget=False, step=7000)
    result = result_of(cvae=row(), cgan=row(top1=0.95, fid=3.5, recall=0.1), cvae_gan_full=full)
    assert result["verdict"] == {
        "light": "green",
        "advice": "At equal budget cgan most often renders the class asked for: top-1 95.0 % "
        "(real data 99.0 %).",
        "lines": [
            "nearest to real images: cvae, FID 2.500 (real data 0.050)",
            "covers most of them: cvae, recall 0.700 (real data 0.960)",
            "teaches a classifier best: cvae, 92.5 % on real test images (real data 98.5 %)",
            "beside them, not at equal budget: cvae_gan_full, top-1 99.1 %",
            LUCK,
        ],
    }


@pytest.mark.parametrize(("top1", "light"), [(0.95, "amber"), (0.945, "amber"), (0.93, "green")])
def test_a_lead_that_the_samples_cannot_tell_is_called_a_tie(top1: float, light: str) -> None:
    # Of 5000 samples each, 0.5 points are 1.1 standard errors and two points are 4.2.
    found = result_of(cgan=row(top1=0.95), cvae=row(top1=top1))["verdict"]
    assert found["light"] == light
    tie = "At equal budget cgan and cvae render the class asked for about equally often: top-1 95.0"
    assert found["advice"].startswith(tie) == (light == "amber")
    alone = result_of(cgan=row(top1=1.0), cvae=row(top1=1.0, warnings=[DEAF]))["verdict"]
    assert alone["light"] == "green", "a row that leads by nothing does not share the lead"


@pytest.mark.parametrize("words", [DEAF, COLLAPSED, COPIES])
def test_a_row_with_a_grave_warning_leads_by_nothing_and_a_line_says_why(words: str) -> None:
    best = {"top1": 1.0, "fid": 0.1, "recall": 0.95, "cas": 0.98, "inception_score": 9.7}
    result = result_of(cvae=row(), cgan=row(**best, warnings=[words]))
    assert set(leaders(result).values()) == {"cvae"}
    advice, lines = result["verdict"]["advice"], result["verdict"]["lines"]
    assert advice.startswith("At equal budget cvae most often renders the class asked for")
    assert f"passed over: cgan, top-1 100.0 %; {words}" in lines
    assert sum("cgan" in line for line in lines) == 1
    assert result["order"]["top1"] == ["cgan", "cvae"], "the order holds the bare numbers"


def test_a_warned_row_that_leads_by_nothing_needs_no_line() -> None:
    result = result_of(cvae=row(), gan=row(top1=0.1, fid=90.0, warnings=[DEAF]))
    assert not any("gan" in line for line in result["verdict"]["lines"])


def test_where_every_row_is_warned_about_none_is_praised() -> None:
    result = result_of(cvae=row(warnings=[COLLAPSED]), gan=row(top1=0.1, warnings=[DEAF]))
    assert leaders(result) == {}
    assert result["verdict"]["advice"].startswith("No family at equal budget can be recommended")
    assert f"passed over: gan, top-1 10.0 %; {DEAF}" in result["verdict"]["lines"]


def test_light_warnings_of_the_rows_named_stand_beside_the_praise() -> None:
    weak = (
        "weak judge: it recognises 80.0 % of the real test images; the other numbers are as unsure"
    )
    result = result_of(
        cvae=row(warnings=[weak, NEAR]), cgan=row(top1=0.5, fid=9.0, warnings=[weak, NEAR])
    )
    assert result["verdict"]["lines"][-3:] == [weak, f"cvae: {NEAR}", LUCK]


def test_without_a_row_at_equal_budget_there_is_nothing_to_compare() -> None:
    result = result_of(full=row(equal_budget=False))
    assert result["verdict"]["advice"].startswith("Nothing to compare")


def test_a_row_of_fewer_samples_is_not_a_rival() -> None:
    rows = {"cvae": row(), "pixel_cnn": row(top1=1.0, samples=500, real_at_as_few={})}
    assert order_of(rows)["top1"] == ["cvae"]


def test_the_order_of_the_paper_is_told_as_found() -> None:
    rising = {}
    for place, name in enumerate(("cvae", "cgan", "fm_cgan", "cvae_gan")):
        rising[name] = row(top1=0.9 + 0.01 * place)
    assert paper_order(result_of(**rising)).endswith("cvae_gan (93.0 %); as in the paper.")
    rising["cvae"]["top1"] = 0.999
    told = paper_order(result_of(**rising))
    assert "fm_cgan (92.0 %) < cvae_gan (93.0 %) < cvae (99.9 %); the paper: cvae <" in told
    assert paper_order(result_of(cvae=row())) == ""
