"""Changes of a configuration that mend what a report found; never of the user's files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape
from typing import Any

from backend.config.messages import DEFAULT_LANGUAGE, translate
from backend.data.datasets import Dataset
from backend.data.records import Scan

PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of the configuration. `changes` are paths with their new values, which are absolute: after one fix is
    applied the others are out of date, and a new report has them anew."""

    code: str
    params: Mapping[str, Any]
    changes: tuple[tuple[str, Any], ...]

    def text(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return what the fix does, in words for a button."""
        return translate(f"fix.{self.code}", language, **self.params)


def apply_fix(data: Mapping[str, Any], fix: Fix) -> dict[str, Any]:
    """Return a configuration as plain data with the changes of a fix; what is not changed is shared, not copied."""
    changed = dict(data)
    for path, value in fix.changes:
        parts: list[str | int] = [int(number) if number else name for name, number in PART.findall(path)]
        changed = _with(changed, parts, value)
    return changed


def _with(node: Any, parts: list[str | int], value: Any) -> Any:
    """Return a copy of a table or list in which the value at a path is another one."""
    if not parts:
        return value
    first, *rest = parts
    if isinstance(first, int):
        return [_with(item, rest, value) if number == first else item for number, item in enumerate(node)]
    table = dict(node or {})
    return {**table, first: _with(table.get(first), rest, value)}


def rule_path(dataset: Dataset, name: str) -> str:
    """Return where a rule of a data set is set: in its own row when it has it there, else for all data sets."""
    own = getattr(dataset.config, name) is not None
    return f"{dataset.field}.{name}" if own else f"data.{name}"


def exclude(found: Scan, indices: Iterable[int], code: str = "exclude") -> Fix:
    """Return the fix that leaves pictures out, by their names in the rows of their data sets."""
    lists: dict[str, list[str]] = {}
    number = 0
    for index in indices:
        record = found.images[index]
        dataset = found.datasets[record.dataset]
        names = lists.setdefault(f"{dataset.field}.exclude", list(dataset.config.exclude))
        # A name with * ? or [ would be taken for a pattern.
        names.append(escape(record.name))
        number += 1
    return Fix(code, {"num": number}, tuple((path, names) for path, names in lists.items()))


def exclude_names(dataset: Dataset, names: Iterable[str]) -> Fix:
    """Return the fix that leaves out files of a data set that are no pictures of the scan."""
    left_out = [*dataset.config.exclude, *map(escape, names)]
    number = len(left_out) - len(dataset.config.exclude)
    return Fix("exclude", {"num": number}, ((f"{dataset.field}.exclude", left_out),))
