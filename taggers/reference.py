"""The reference of a tagging run's parameters, made from the schema: python -m taggers.reference LANGUAGE > FILE."""

from __future__ import annotations

import sys

from backend.config import reference
from backend.config.messages import translate
from taggers import models
from taggers.config import parameters


def to_markdown(language: str) -> str:
    """Return the reference as a Markdown document; every parameter has an anchor (see `reference.anchor`)."""
    lines = [f"# {translate('reference.tagging.title', language)}", ""]
    lines += [translate("reference.tagging.intro", language), ""]
    lines += reference.sections(parameters(), language)
    lines += [f"## {translate('reference.tagging.models', language)}", ""]
    lines += [f"| `tagging.model` | | {translate('reference.tagging.size', language)} |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {row.title}, `{row.repo}` | {row.megabytes:,} MB |" for row in models.ROWS]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # also into a file on Windows
    sys.stdout.write(to_markdown(sys.argv[1]))
