"""Faults put in on purpose, counted: every test tells how many there were and how many were
survived.

A file is named after its item, ``test_01_….py``. The table of all items is printed when this folder
is tested by itself (``make faults``), however many processes share the work.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

Tally = Callable[[int, int, str], None]
TALLY = "faults"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """``tally(injected, survived, "kill -9 in training")``: one row of the table; call it before
    asserting."""
    found = re.match(r"test_(\d\d)_", request.path.name)
    assert found is not None, f"{request.path.name} is not named after an item of the table"
    item = int(found[1])

    def record(injected: int, survived: int, what: str) -> None:
        # Properties travel with the report, so that other processes' rows arrive too.
        request.node.user_properties.append((TALLY, (item, what, injected, survived)))

    return record


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, as Markdown."""
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])
    ]
    rows = sorted(
        tuple(row) for report in reports for name, row in report.user_properties if name == TALLY
    )
    if not rows:
        return
    terminalreporter.write_sep("=", "faults")
    terminalreporter.write_line("| item | injected | times | survived |")
    terminalreporter.write_line("|---:|---|---:|---:|")
    for item, what, injected, survived in rows:
        terminalreporter.write_line(f"| {item} | {what} | {injected} | {survived} |")
    totals = [sum(row[column] for row in rows) for column in (2, 3)]
    terminalreporter.write_line(f"| | all | {totals[0]} | {totals[1]} |")
