"""The committed reference is what the schema says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.config.messages import languages
from backend.config.reference import anchor, to_markdown
from backend.config.root import parameters

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("language", languages())
def test_the_committed_reference_is_fresh(language: str) -> None:
    committed = (DOCS / f"parameters.{language}.md").read_text(encoding="utf-8")
    assert committed == to_markdown(language), f"run: python -m backend schema --markdown --lang {language}"


@pytest.mark.parametrize("language", languages())
def test_every_parameter_has_one_anchor_and_no_key_shows(language: str) -> None:
    text = to_markdown(language)
    assert re.findall(r'<a id="([^"]+)">', text) == [anchor(item.path) for item in parameters()]
    assert not re.findall(r"(?<![\w`.])(?:reference|units|tier|section|fact)\.\w+", text)
    for item in parameters():
        assert all(f"`{alias}`" in text for alias in item.ui.aliases)
