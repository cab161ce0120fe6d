"""Fixtures that every test may use: tiny models, built once a session and never written to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes says nothing on a machine that others use, too.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# No test may reach for the network, not even by accident.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a family's name to the diffusers folder of its tiny model."""
    built: dict[str, Path] = {}

    def folder(family: str) -> Path:
        import tiny

        if family not in built:
            built[family] = tiny.build(family, tmp_path_factory.mktemp("models") / f"tiny-{family}")
        return built[family]

    return folder
