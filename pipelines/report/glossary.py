"""The words of the reports, each explained once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipelines.report.cards import Card, Table

OF_ARMS = ("arm", "baseline", "replicate")
"""Words of every page that compares arms."""
WORDS = {
    "arm": "A way to train the classifier. All arms share its first weights, steps and schedule.",
    "baseline": "An arm that another one is compared with.",
    "replicate": "One repetition of all arms with its own seeds, and where the regime draws them "
    "its own training images.",
    "95 % interval": "If the whole run were repeated many times, about 95 of 100 such intervals "
    "would hold the true value.",
    "replicates alone": "The interval if only replicates varied: how stable training is on these "
    "very images.",
    "people alone": "The interval if only the people in the scored pairs varied.",
    "p": "How often a difference this large would come up by chance if there were none.",
    "sign flips": "p by flipping the signs of the replicates' differences; it assumes no bell "
    "curve.",
    "Holm p": "p after Holm's correction for the number of comparisons in this run.",
    "against the leader": "How far a candidate is behind the best one.",
    "labelled": "Labelled training images of the class, of the first replicate.",
    "sd": "Standard deviation over labelled subsets.",
    "subsets": "How many draws of labelled images the method was trained on.",
}


def words_of(cards: Iterable[Card]) -> dict[str, str]:
    """The words that tables use and explain, in the order met."""
    tables = [card for card in cards if isinstance(card, Table)]
    found: dict[str, str] = {}
    if any("arm" in table.columns for table in tables):
        found = {name: WORDS[name] for name in OF_ARMS}
    for card in tables:
        for row in card.rows:
            if row.meaning:
                found.setdefault(row.name, row.meaning)
        for column in card.columns:
            if isinstance(column, str) and column in WORDS:
                found.setdefault(column, WORDS[column])
    return found


def anchors(words: Mapping[str, str]) -> dict[str, str]:
    """The place of every word in the page; names come from users, so places are numbers."""
    return {name: f"word-{number}" for number, name in enumerate(words)}
