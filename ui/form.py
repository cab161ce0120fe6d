"""The form, made from the schema: what a browser needs to show every field, and what it types read back as values.

No page lists fields by hand. Conditions are data: `static/conditions.js` evaluates what `Condition.holds` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from backend.config.base import Parameter
from backend.config.messages import has, translate
from backend.config.root import TrainConfig, item_parameters, parameters
from backend.families.specs import FAMILIES

# 1e-4, 5%, 2k, 1.5M: what people type into a box for numbers.
NUMBER = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([%kKmM]?)\s*$")
FACTORS = {"": 1.0, "%": 0.01, "k": 1e3, "m": 1e6}
LISTS = ("datasets", "prompts")


def element_id(path: str) -> str:
    """Return the element id of a field: its path in the schema."""
    return path.replace(".", "-")


def _key(item: Parameter, prefix: str, part: str) -> str:
    return f"{prefix}{item.path}.{part}"


def label(item: Parameter, language: str, prefix: str = "") -> str:
    """Return a field's name in a language."""
    key = _key(item, prefix, "label")
    return translate(key, language) if has(key, language) else item.title


def help_text(item: Parameter, language: str, prefix: str = "") -> str:
    """Return a field's explanation in a language."""
    key = _key(item, prefix, "help")
    return translate(key, language) if has(key, language) else item.help


def choice_label(item: Parameter, value: Any, language: str) -> str:
    """Return how a choice reads; names such as "bf16" stand for themselves."""
    key = f"choice.{item.path}.{value}"
    return translate(key, language) if has(key, language) else str(value)


def unit(item: Parameter, language: str) -> str:
    """Return a field's unit in a language."""
    return translate(f"units.{item.ui.unit}", language) if item.ui.unit else ""


def describe(item: Parameter, language: str, *, prefix: str = "") -> dict[str, Any]:
    """Return everything a browser needs to show one field."""
    choices = [{"value": value, "label": choice_label(item, value, language)} for value in item.choices]
    if item.ui.widget == "families":
        choices = [{"value": name, "label": spec.title} for name, spec in FAMILIES.items()]
    return {
        "path": prefix + item.path,
        "name": item.name,
        "section": item.section,
        "id": element_id(prefix + item.path),
        "kind": "choice" if choices else item.kind,
        "label": label(item, language, prefix),
        "title": item.title,
        "help": help_text(item, language, prefix),
        "unit": unit(item, language),
        "tier": item.ui.tier,
        "widget": item.ui.widget,
        "choices": choices,
        "default": None if item.kind in LISTS else item.default,
        "minimum": item.minimum,
        "maximum": item.maximum,
        "exclusive": item.exclusive_minimum,
        "nullable": item.nullable,
        "aliases": list(item.ui.aliases),
        "when": [asdict(condition) for condition in item.ui.when],
    }


def schema(language: str) -> dict[str, Any]:
    """Return the whole form: sections with their names, fields, items of lists, and the facts of every family."""
    names = [name for name in TrainConfig.model_fields if name != "version"]
    return {
        "sections": [{"name": name, "label": translate(f"section.{name}", language)} for name in names],
        "fields": [describe(item, language) for item in parameters()],
        "items": {
            kind: [describe(item, language, prefix=f"{kind}.") for item in item_parameters(kind)] for kind in LISTS
        },
        "facts": {name: spec.facts() for name, spec in FAMILIES.items()},
    }


def read_number(text: str, *, whole: bool) -> Any:
    """Return the number that was typed; text that is none stays as it is, for the check to refuse by name."""
    match = NUMBER.match(text)
    if not match:
        return text.strip()
    value = float(match[1]) * FACTORS[match[2].lower()]
    if match[2] == "%":
        value = float(f"{value:.12g}")
    return int(value) if whole and value == int(value) else value


def read_value(item: Parameter, typed: Any) -> Any:
    """Return the value of a field from what the browser sends; None where an empty box stands for the default."""
    if item.kind in LISTS:
        members = {member.name: member for member in item_parameters(item.kind)}
        return [{name: read_value(members[name], value) for name, value in row.items()} for row in typed]
    if item.kind in ("int", "float") and isinstance(typed, str):
        return read_number(typed, whole=item.kind == "int") if typed.strip() else None
    if item.kind == "choice" and isinstance(typed, str):
        return next((choice for choice in item.choices if str(choice) == typed), typed)
    return typed


def defaults() -> Mapping[str, Any]:
    """Return the default of every field by path."""
    return {item.path: item.default for item in parameters()}
