"""The operations of the batch panel: laid out from the engine's own, so that nothing about them is written twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from backend.config.problems import UserError
from backend.editing.operations import OPERATIONS, Context, Edit, Operation, by_tags
from backend.editing.tags import typed_tags

Data = dict[str, Any]
# Fields that are only asked for when another has a value.
WHEN = {("add", "number"): ("position", "number")}
NUM_NAMED = 80


@dataclass(frozen=True)
class Merge:
    """Replace some tags, exactly as they are written, by others; by none where `into` is empty."""

    tags: tuple[str, ...]
    into: str = ""

    def edit(self, _: Context) -> Edit:
        old, into = frozenset(self.tags), typed_tags(self.into)

        def edited(tags: list[str]) -> list[str]:
            if old.isdisjoint(tags):
                return tags
            # What was twice already stays so, except for the new ones.
            new = [each for tag in tags for each in (into if tag in old else [tag])]
            return [tag for place, tag in enumerate(new) if tag not in into or place == new.index(tag)]

        return by_tags(edited)


def described(t: Callable[..., str]) -> list[Data]:
    """Return every operation of the panel as its script lays it out."""
    return [
        {
            "name": name,
            "label": t(f"captionpage.op.{name}"),
            "help": t(f"captionpage.op.{name}.help"),
            "fields": [_field(name, field, kind, t) for field, kind in _fields(operation)],
        }
        for name, operation in OPERATIONS.items()
    ]


def _fields(operation: type[Operation]) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(operation)
    return [(field, hints[field.name]) for field in dataclasses.fields(operation)]  # type: ignore[arg-type]


def _field(operation: str, field: dataclasses.Field[Any], kind: Any, t: Callable[..., str]) -> Data:
    is_choice = get_origin(kind) is Literal
    choices = get_args(kind) if is_choice else ()
    return {
        "name": field.name,
        "kind": "choice" if is_choice else kind.__name__,
        "label": t(f"captionpage.field.{field.name}"),
        "default": _default(field, kind),
        "minimum": 0,
        "when": WHEN.get((operation, field.name)),
        "choices": [{"value": each, "label": t(f"captionpage.choice.{field.name}.{each}")} for each in choices],
    }


def _default(field: dataclasses.Field[Any], kind: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return 20 if field.name == "number" else 75 if kind is int else ""


def operation_of(name: str, values: Mapping[str, Any]) -> Operation:
    """Return an operation with what a page's form has.

    Raises:
        UserError: A number is none.
    """
    if name == "merge":
        return Merge(tuple(values["tags"]), str(values["into"]))
    kind = OPERATIONS[name]
    given = {field.name: _value(field, hint, values) for field, hint in _fields(kind)}
    return kind(**given)


def _value(field: dataclasses.Field[Any], kind: Any, values: Mapping[str, Any]) -> Any:
    value = values.get(field.name, _default(field, kind))
    if kind is int:
        try:
            return int(value)
        except ValueError as error:
            raise UserError("caption_number_wrong", value=str(value)) from error
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else _default(field, kind)
    return kind(value)


def name_of(name: str, values: Mapping[str, Any], t: Callable[..., str]) -> str:
    """Return what the history calls an operation."""
    if name == "merge":
        tags, into = list(values["tags"]), str(values["into"])
        if not into:
            return t("captionpage.action.remove", tag=", ".join(tags)[:NUM_NAMED])
        if len(tags) == 1:
            return t("captionpage.action.rename", old=tags[0], new=into)
        return t("captionpage.action.merge", tag=into)
    label = t(f"captionpage.op.{name}")
    texts = [
        str(values[field.name]) for field, kind in _fields(OPERATIONS[name]) if kind is str and field.name in values
    ]
    shown = " / ".join(text for text in texts if text)
    return t("captionpage.action.with", operation=label, text=shown[:NUM_NAMED]) if shown else label
