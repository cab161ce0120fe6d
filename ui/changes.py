"""Changes of a draft that can be taken back: what was at some paths before, and what is there now. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from backend.config.base import Parameter
from backend.config.messages import translate
from backend.config.reference import choice_label, label
from backend.config.root import by_path, item_parameters

PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
ROW = re.compile(r"^(?P<list>data\.(?P<kind>datasets)|sampling\.(?P<other>prompts))\[(?P<index>\d+)\]\.(?P<name>\w+)$")
Change = tuple[str, Any]


def parts_of(path: str) -> list[str | int]:
    """Return the keys and indices of a path such as `data.datasets[0].exclude`."""
    return [int(number) if number else name for name, number in PART.findall(path)]


def get(data: Any, path: str) -> Any:
    """Return the value at a path; None where there is none."""
    for part in parts_of(path):
        if isinstance(part, int):
            data = data[part] if isinstance(data, list) and part < len(data) else None
        else:
            data = data.get(part) if isinstance(data, Mapping) else None
    return data


def applied(data: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """Return a copy with values at paths set; None takes one out. Sections that are missing are made."""
    result = copy.deepcopy(dict(data))
    for path, value in changes:
        *parents, name = parts_of(path)
        node: Any = result
        for part in parents:
            node = node[part] if isinstance(part, int) else node.setdefault(part, {})
        if value is None:
            node.pop(name, None)
        else:
            node[name] = value
    return result


def before(data: Mapping[str, Any], changes: Iterable[Change]) -> list[Change]:
    """Return the changes that take other changes back."""
    return [(path, copy.deepcopy(get(data, path))) for path, _ in changes]


def parameter_of(path: str) -> tuple[Parameter | None, str]:
    """Return the parameter at a path, in a row or not, and what the keys of a row's texts begin with."""
    found = ROW.match(path)
    if not found:
        return by_path().get(path), ""
    kind = found["kind"] or found["other"]
    return next((item for item in item_parameters(kind) if item.name == found["name"]), None), f"{kind}."


def in_words(path: str, old: Any, new: Any, language: str) -> str:
    """Return a change in words: the parameter's name, the value before, the value after."""
    item, prefix = parameter_of(path)
    name = label(item, language, prefix=prefix) if item else path
    values = [value_text(item, prefix, value, language) for value in (old, new)]
    return translate("changes.line", language, name=name, old=values[0], new=values[1])


def value_text(item: Parameter | None, prefix: str, value: Any, language: str) -> str:
    """Return a value in words; lists as how many entries they have, nothing as the default or the general setting."""
    if value is None and item is not None:
        if item.ui.inherits:
            return translate("expert.as_general", language)
        value = item.default
    if isinstance(value, bool):
        return translate("expert.on" if value else "expert.off", language)
    if isinstance(value, list):
        return translate("changes.entries", language, num=len(value))
    if item is not None and item.choices:
        return choice_label(item, value, language, prefix=prefix)
    return f"{value:g}" if isinstance(value, float) else str(value if value not in (None, "") else "-")
