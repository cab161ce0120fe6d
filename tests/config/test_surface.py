"""The surface is frozen: a path, type or default that changes needs a migration, and this snapshot renewed with it.

Renew it with: python tests/config/test_surface.py
"""

from __future__ import annotations

import json
from pathlib import Path

from backend.config.root import CURRENT_VERSION, item_parameters, parameters

SNAPSHOT = Path(__file__).with_name("surface.json")


def surface() -> dict[str, object]:
    rows = [(item.path, item) for item in parameters()]
    rows += [(f"{kind}[].{item.path}", item) for kind in ("datasets", "prompts") for item in item_parameters(kind)]
    table = {
        path: {"kind": item.kind, "default": item.default, **({"choices": list(item.choices)} if item.choices else {})}
        for path, item in rows
    }
    return {"version": CURRENT_VERSION, "parameters": table}


def test_the_surface_is_as_it_was() -> None:
    assert surface() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(surface(), indent=1) + "\n", encoding="utf-8")
