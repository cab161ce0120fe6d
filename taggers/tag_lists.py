"""Reads the lists that say what a model's outputs mean: selected_tags.csv and tag_mapping.json."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from backend.config.problems import UserError
from taggers.models import Category
from taggers.tags import TagList

KNOWN: tuple[str, ...] = get_args(Category)
NAMES = ("name", "tag", "tag_name")
THRESHOLDS = ("best_threshold", "threshold")
OF_KINDS = "thresholds.csv"


def read(path: Path, categories: Mapping[int, Category]) -> TagList:
    """Read a list of either layout.

    Raises:
        UserError: It cannot be read, or is not such a list.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return _mapping(text) if path.suffix.lower() == ".json" else _table(path, text, categories)
    except OSError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # damaged, or something else altogether
        raise UserError("tag_list_damaged", value=str(path), reason=str(error)) from error


def _kind(text: Any, categories: Mapping[int, Category]) -> Category:
    plain = str(text).strip().casefold()
    if plain.isdigit():
        return categories.get(int(plain), "other")
    return plain if plain in KNOWN else "other"  # type: ignore[return-value]


def _table(path: Path, text: str, categories: Mapping[int, Category]) -> TagList:
    rows = list(csv.DictReader(text.splitlines()))
    if not rows:
        raise ValueError("no rows")
    name = next((column for column in NAMES if column in rows[0]), "")
    if not name or "category" not in rows[0]:
        raise ValueError(f"columns {', '.join(rows[0])}")
    kinds = tuple(_kind(row["category"], categories) for row in rows)
    column = next((column for column in THRESHOLDS if column in rows[0]), "")
    if column:
        best = np.array([float(row[column] or "nan") for row in rows], np.float32)
        return TagList(tuple(row[name] for row in rows), kinds, best)
    by_kind = _of_kinds(path.with_name(OF_KINDS), categories)
    best = np.array([by_kind.get(kind, np.nan) for kind in kinds], np.float32)
    return TagList(tuple(row[name] for row in rows), kinds, best if by_kind else None)


def _of_kinds(path: Path, categories: Mapping[int, Category]) -> dict[Category, float]:
    """Return the makers' thresholds of kinds from the file beside the list; empty where there is none."""
    if not path.is_file():
        return {}
    rows = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
    return {_kind(row["category"], categories): float(row["threshold"]) for row in rows}


def _mapping(text: str) -> TagList:
    """Read {number: {tag, category}}, or {idx_to_tag, tag_to_category}."""
    content = json.loads(text)
    if "idx_to_tag" in content:
        kinds = content["tag_to_category"]
        by_number = {int(number): (name, kinds[name]) for number, name in content["idx_to_tag"].items()}
    else:
        by_number = {int(number): (row["tag"], row["category"]) for number, row in content.items()}
    if sorted(by_number) != list(range(len(by_number))) or not by_number:
        raise ValueError("numbers are missing")
    rows = [by_number[number] for number in range(len(by_number))]
    return TagList(tuple(name for name, _ in rows), tuple(_kind(kind, {}) for _, kind in rows))
