"""What the tests of the pages' servers share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ui.context import Services

sys.path.insert(0, str(Path(__file__).parent))  # fake_runs.py


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Return what the pages share in a home of its own."""
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    services = Services.create(tmp_path / "home" / "runs")
    yield services
    services.desks.close_all()
