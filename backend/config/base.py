"""The schema's grammar: sections of fields, how a field is shown, and when it applies."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

Tier = Literal["basic", "advanced", "experimental"]
Operator = Literal["eq", "ne", "in", "gt", "contains"]
LIST_KINDS = {str: "strings", int: "numbers", float: "numbers"}
Kind = Literal["bool", "int", "float", "str", "choice", "strings", "numbers", "datasets", "prompts"]


class Section(BaseModel):
    """A group of parameters. The docstring under a field is its help, in the form and in the reference."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Condition:
    """True when the value at `path` (a parameter, or a fact `family.*` of the chosen family) compares with `value`."""

    path: str
    op: Operator
    value: Any

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Evaluate against flat values. A path that is not there (no family chosen yet) hides nothing."""
        if self.path not in values:
            return True
        actual = values[self.path]
        match self.op:
            case "eq":
                return actual == self.value
            case "ne":
                return actual != self.value
            case "in":
                return actual in self.value
            case "gt":
                return actual is not None and actual > self.value
            case "contains":
                return self.value in actual


def holds(conditions: tuple[Condition, ...], values: Mapping[str, Any]) -> bool:
    """Tell whether all conditions hold; the one function behind the form, the checks and the reference."""
    return all(condition.holds(values) for condition in conditions)


def item_values(values: Mapping[str, Any], members: Iterable[Parameter], item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat values that the conditions of one row see.

    `item.X` is the row's own X or its default; `data.X` is what holds for the row: its own rule, else the general one.
    """
    seen = dict(values)
    for member in members:
        own = item.get(member.name)
        if not member.ui.inherits:
            seen[f"item.{member.name}"] = member.default if own is None else own
        elif own is not None:
            seen[f"data.{member.name}"] = own
    return seen


@dataclass(frozen=True, slots=True)
class Ui:
    """How a field is shown: its tier, unit, the conditions under which it applies, and the names peers give it."""

    tier: Tier = "advanced"
    unit: str = ""
    when: tuple[Condition, ...] = ()
    aliases: tuple[str, ...] = ()
    widget: Literal["", "folder", "model", "file", "textarea", "slider", "families"] = ""
    # A field of a data set that takes the value of `data` when it is empty.
    inherits: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """One leaf of the schema, with everything that a form, a check or a page of the reference needs."""

    path: str
    kind: Kind
    title: str
    help: str
    default: Any
    ui: Ui
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    nullable: bool = False

    @property
    def section(self) -> str:
        return self.path.split(".", 1)[0]

    @property
    def name(self) -> str:
        return self.path.rsplit(".", 1)[-1]

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Tell whether the field has an effect under these flat values."""
        return holds(self.ui.when, values)


def _kind(annotation: Any) -> tuple[Kind, tuple[Any, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is list:
        member = get_args(annotation)[0]
        kind = LIST_KINDS[member] if member in LIST_KINDS else member.form_kind  # noqa: SIM401 - not all have a form_kind
        return typing.cast(Kind, kind), ()
    return typing.cast(Kind, annotation.__name__), ()


def parameter(path: str, info: FieldInfo) -> Parameter:
    """Describe one field of a section."""
    members = get_args(info.annotation)
    nullable = types.NoneType in members and get_origin(info.annotation) is not Literal
    annotation = next(m for m in members if m is not types.NoneType) if nullable else info.annotation
    kind, choices = _kind(annotation)
    limits: dict[str, Any] = {}
    ui = Ui()
    for item in info.metadata:
        if isinstance(item, Ui):
            ui = item
        elif isinstance(item, annotated_types.Ge):
            limits["minimum"] = item.ge
        elif isinstance(item, annotated_types.Gt):
            limits |= {"minimum": item.gt, "exclusive_minimum": True}
        elif isinstance(item, annotated_types.Le):
            limits["maximum"] = item.le
        elif isinstance(item, annotated_types.Lt):
            limits["maximum"] = item.lt
    return Parameter(
        path=path,
        kind=kind,
        title=info.title or path.rsplit(".", 1)[-1],
        help=" ".join((info.description or "").split()),
        default=info.get_default(call_default_factory=True),
        ui=ui,
        choices=choices,
        nullable=nullable,
        **limits,
    )


def walk(model: type[BaseModel], prefix: str = "") -> Iterator[Parameter]:
    """Yield every leaf parameter below a model, in the order of declaration."""
    for name, info in model.model_fields.items():
        annotation = info.annotation
        path = f"{prefix}{name}"
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from walk(annotation, f"{path}.")
        elif any(isinstance(item, Ui) for item in info.metadata):
            yield parameter(path, info)


def flatten(model: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Return `{path: value}` of every leaf; lists of items stay lists of plain dictionaries."""
    flat: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Section):
            flat |= flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            flat[f"{prefix}{name}"] = [item.model_dump() if isinstance(item, BaseModel) else item for item in value]
        else:
            flat[f"{prefix}{name}"] = value
    return flat
