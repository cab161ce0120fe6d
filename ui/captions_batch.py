"""The operations of the batch panel: what each is called, what it asks for, and what it makes of a caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Data = dict[str, Any]
Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Field:
    """What an operation asks for: text, int, bool or choice. Its words are under `captionpage.field.<name>`."""

    name: str
    kind: str = "text"
    default: Any = ""
    choices: tuple[str, ...] = ()
    minimum: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation; its words are under `captionpage.op.<name>`."""

    name: str
    make: Callable[[Data], Change]
    fields: tuple[Field, ...] = ()
    is_listed: bool = True


def split(text: str) -> list[str]:
    """Return the tags of a line."""
    return [tag for piece in text.split(",") if (tag := piece.strip())]


def _each_line(change: Callable[[list[str]], list[str]]) -> Change:
    """Return a change of every caption of a file; a line that stays the same keeps its commas and blanks."""

    def line(text: str) -> str:
        before = split(text)
        after = change(before)
        return text if before == after else ", ".join(after)

    return lambda text: "\n".join(line(each) for each in text.split("\n"))


def _add(values: Data) -> Change:
    fresh = split(str(values.get("tags", "")))
    at_start = values.get("position") == "start"

    def change(tags: list[str]) -> list[str]:
        new = [tag for tag in fresh if tag not in tags]
        return [*new, *tags] if at_start else [*tags, *new]

    return _each_line(change)


def _remove(values: Data) -> Change:
    unwanted = set(split(str(values.get("tags", ""))))
    return _each_line(lambda tags: [tag for tag in tags if tag not in unwanted])


def _merge(values: Data) -> Change:
    old, into = set(values["tags"]), str(values["into"]).strip()

    def change(tags: list[str]) -> list[str]:
        return list(dict.fromkeys(into if tag in old else tag for tag in tags)) if old & set(tags) else tags

    return _each_line(change)


OPERATIONS = (
    Operation("add", _add, (Field("tags"), Field("position", "choice", "end", ("start", "end")))),
    Operation("remove", _remove, (Field("tags"),)),
    Operation("merge_tags", _merge, is_listed=False),
)


def described(operations: Sequence[Operation], t: Callable[..., str]) -> list[Data]:
    """Return the listed operations as the page's script lays them out."""
    return [
        {
            "name": each.name,
            "label": t(f"captionpage.op.{each.name}"),
            "help": "",
            "fields": [_described(field, t) for field in each.fields],
        }
        for each in operations
        if each.is_listed
    ]


def _described(field: Field, t: Callable[..., str]) -> Data:
    return {
        "name": field.name,
        "kind": field.kind,
        "label": t(f"captionpage.field.{field.name}"),
        "default": field.default,
        "minimum": field.minimum,
        "choices": [{"value": each, "label": t(f"captionpage.choice.{field.name}.{each}")} for each in field.choices],
    }


def change_of(name: str, values: Mapping[str, Any]) -> Change:
    """Return what an operation makes of a caption."""
    operation = next(each for each in OPERATIONS if each.name == name)
    return operation.make({**{field.name: field.default for field in operation.fields}, **values})
