"""The surface of a tagging is frozen, too: what is asked for by path, type and default stays, or is renewed on purpose.

Renew both with: python tests/taggers/test_surface.py
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from backend.config.messages import languages  # noqa: E402
from backend.config.reference import anchor  # noqa: E402
from taggers import models  # noqa: E402
from taggers.config import parameters  # noqa: E402
from taggers.reference import to_markdown  # noqa: E402

SNAPSHOT = Path(__file__).with_name("surface.json")


def surface() -> dict[str, object]:
    table = {
        item.path: {
            "kind": item.kind,
            "default": item.default,
            **({"choices": list(item.choices)} if item.choices else {}),
            **({"aliases": list(item.ui.aliases)} if item.ui.aliases else {}),
        }
        for item in parameters()
    }
    return {"parameters": table, "models": {row.name: [row.repo, row.kind, row.revision] for row in models.ROWS}}


def committed(language: str) -> Path:
    return ROOT / "docs" / f"tagging.{language}.md"


def test_the_surface_is_as_it_was() -> None:
    assert surface() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", languages())
def test_the_committed_reference_is_fresh(language: str) -> None:
    text = to_markdown(language)
    assert committed(language).read_text(encoding="utf-8") == text
    assert re.findall(r'<a id="([^"]+)">', text) == [anchor(item.path) for item in parameters()]
    assert not re.findall(r"(?<![\w`.])(?:reference|units|tier|section|fact)\.\w+", text)


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(surface(), indent=1) + "\n", encoding="utf-8")
    for each in languages():
        committed(each).write_text(to_markdown(each), encoding="utf-8")
