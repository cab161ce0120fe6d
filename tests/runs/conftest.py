"""A runs folder whose trainers are fake, and are ended with the test."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from backend.runs import supervisor
from backend.runs.layout import list_runs
from backend.runs.processes import process_tree

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def runs_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "runs 炉 🔥"
    folder.mkdir()
    yield folder
    tree = [process for run in list_runs(folder) for process in process_tree(run)]
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(tree, timeout=60)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two functions that launch the fake trainer: under the real accelerate, and under its quick stand-in."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE / "quick_launcher"), str(HERE))))
    quick = partial(supervisor.launch, trainer="fake_trainer")

    def real(run: object, **options: object) -> int:
        monkeypatch.setenv("PYTHONPATH", str(HERE))
        return quick(run, **options)

    return SimpleNamespace(quick=quick, real=real)
