"""The form, made from the schema: what a browser needs to show every field, and what it types read back as values.

No page lists fields by hand. Conditions are data: `static/conditions.js` evaluates what `Condition.holds` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from backend.config.base import Parameter
from backend.config.datasets import PictureRules
from backend.config.geometry import GeometryRules
from backend.config.messages import translate
from backend.config.reference import choice_label, help_text, label
from backend.config.root import TrainConfig, item_parameters, parameters
from backend.families.specs import FAMILIES

# 1e-4, 5%, 2k, 1.5M: what people type into a box for numbers.
NUMBER = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([%kKmM]?)\s*$")
FACTORS = {"": 1.0, "%": 0.01, "k": 1e3, "m": 1e6}
LISTS = ("datasets", "prompts")
PLAIN_LISTS = ("strings", "numbers")
# Rows of fewer fields than this show all of them at once.
FEW = 6


def element_id(path: str) -> str:
    """Return the element id of a field: its path in the schema."""
    return path.replace(".", "-")


def unit(item: Parameter, language: str) -> str:
    """Return a field's unit in a language."""
    return translate(f"units.{item.ui.unit}", language) if item.ui.unit else ""


def describe(item: Parameter, language: str, *, prefix: str = "") -> dict[str, Any]:
    """Return everything a browser needs to show one field."""
    choices = [{"value": value, "label": choice_label(item, value, language, prefix=prefix)} for value in item.choices]
    if item.ui.widget == "families":
        choices = [{"value": name, "label": spec.title} for name, spec in FAMILIES.items()]
    return {
        "path": prefix + item.path,
        "name": item.name,
        "section": item.section,
        "id": element_id(prefix + item.path),
        "kind": "choice" if choices else item.kind,
        "label": label(item, language, prefix=prefix),
        "title": item.title,
        "help": help_text(item, language, prefix=prefix),
        "unit": unit(item, language),
        "tier": item.ui.tier,
        "widget": item.ui.widget,
        "choices": choices,
        "default": None if item.kind in LISTS else item.default,
        "minimum": item.minimum,
        "maximum": item.maximum,
        "exclusive": item.exclusive_minimum,
        "nullable": item.nullable,
        "inherits": item.ui.inherits,
        "general": f"data.{item.name}" if item.ui.inherits else "",
        "aliases": list(item.ui.aliases),
        "when": [asdict(condition) for condition in item.ui.when],
    }


def members(kind: str, language: str) -> list[dict[str, Any]]:
    """Return the fields of one item of a list, each with the group that it is shown in.

    `main` is always visible, `more` is folded, and so are the rules that the item may set for itself, by topic.
    """
    items = item_parameters(kind)
    described = [describe(item, language, prefix=f"{kind}.") for item in items]
    return [{**field, "group": _group(item, len(items))} for field, item in zip(described, items, strict=True)]


def general_members(language: str) -> list[dict[str, Any]]:
    """Return the fields of `data` that hold for all data sets, grouped as those of one."""
    items = [item for item in parameters() if item.section == "data" and item.kind not in LISTS]
    return [{**describe(item, language), "group": _group(item, len(items))} for item in items]


def _group(item: Parameter, num_members: int) -> str:
    if not item.ui.inherits and (item.ui.tier == "basic" or num_members < FEW):
        return "main"
    if item.name in PictureRules.model_fields:
        return "geometry" if item.name in GeometryRules.model_fields else "captions"
    return "more"


def schema(language: str) -> dict[str, Any]:
    """Return the whole form: sections with their names, fields, items of lists, and the facts of every family."""
    names = [name for name in TrainConfig.model_fields if name != "version"]
    return {
        "sections": [{"name": name, "label": translate(f"section.{name}", language)} for name in names],
        "fields": [describe(item, language) for item in parameters()],
        "items": {kind: members(kind, language) for kind in LISTS},
        "facts": {name: spec.facts() for name, spec in FAMILIES.items()},
    }


def read_number(text: str) -> Any:
    """Return the number that was typed; text that is none stays as it is, for the check to refuse by name."""
    match = NUMBER.match(text)
    if not match:
        return text.strip()
    value = float(match[1]) * FACTORS[match[2].lower()]
    if match[2] == "%":
        value = float(f"{value:.12g}")
    return int(value) if value == int(value) else value


def read_list(text: str, kind: str, *, has_lines: bool = False) -> list[Any]:
    """Return the values of a list as typed: separated by commas, or one in each line where there are line breaks.

    With `has_lines` commas are always parts of the values.
    """
    parts = re.split(r"[\n,，]" if kind == "numbers" else "\n" if has_lines or "\n" in text else "[,，]", text)
    values = [part.strip() for part in parts if part.strip()]
    return [read_number(value) for value in values] if kind == "numbers" else values


def read_row(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one item of a list, without what is empty or says no more than the defaults; `path` always stays."""
    known = {member.name: member for member in item_parameters(kind)}
    values = {name: read_value(known[name], value) if name in known else value for name, value in row.items()}
    return {
        name: value
        for name, value in values.items()
        if value is not None and (name not in known or name in ("path", "prompt") or value != known[name].default)
    }


def read_value(item: Parameter, typed: Any) -> Any:
    """Return the value of a field from what the browser sends; None where an empty box stands for the default."""
    if item.kind in LISTS:
        return [read_row(item.kind, row) for row in typed]
    if item.kind in PLAIN_LISTS and isinstance(typed, str):
        return read_list(typed, item.kind, has_lines=item.ui.widget == "textarea")
    if item.ui.inherits and item.kind == "bool" and isinstance(typed, str):
        return {"true": True, "false": False}.get(typed)
    if item.kind in ("int", "float") and isinstance(typed, str):
        return read_number(typed) if typed.strip() else None
    if item.kind == "choice" and isinstance(typed, str):
        if item.ui.inherits and not typed:
            return None
        return next((choice for choice in item.choices if str(choice) == typed), typed)
    return typed


def defaults() -> Mapping[str, Any]:
    """Return the default of every field by path."""
    return {item.path: item.default for item in parameters()}
