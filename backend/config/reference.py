"""The parameter reference, made from the schema: for people as Markdown, for programs as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from backend.config.base import Condition, Parameter
from backend.config.messages import has, translate
from backend.config.root import CURRENT_VERSION, ITEM_MODELS, item_parameters, parameters


def text_key(item: Parameter, prefix: str = "") -> str:
    """Return what the keys of a parameter's texts begin with: rules in a row have those of the general rule."""
    return f"data.{item.name}" if item.ui.inherits else f"{prefix}{item.path}"


def label(item: Parameter, language: str, *, prefix: str = "") -> str:
    """Return a parameter's name in a language; the English one stands in the schema."""
    key = f"{text_key(item, prefix)}.label"
    return translate(key, language) if has(key, language) else item.title


def help_text(item: Parameter, language: str, *, prefix: str = "") -> str:
    """Return a parameter's explanation in a language."""
    key = f"{text_key(item, prefix)}.help"
    return translate(key, language) if has(key, language) else item.help


def choice_label(item: Parameter, value: Any, language: str, *, prefix: str = "") -> str:
    """Return how a choice reads; names such as "bf16" stand for themselves."""
    key = f"choice.{text_key(item, prefix)}.{value}"
    return translate(key, language) if has(key, language) else str(value)


def anchor(path: str) -> str:
    """Return the anchor of a parameter's entry: its path with dots as dashes."""
    return path.replace(".", "-")


def _described(item: Parameter, language: str, prefix: str = "") -> dict[str, Any]:
    described = asdict(item)
    described |= {"default": _plain(item.default), "section": item.section, **described.pop("ui")}
    described |= {"label": label(item, language, prefix=prefix), "help": help_text(item, language, prefix=prefix)}
    if item.kind in ITEM_MODELS:
        described["items"] = [_described(inner, language, f"{item.kind}.") for inner in item_parameters(item.kind)]
    return described


def _plain(value: Any) -> Any:
    return [] if isinstance(value, list) else value


def to_json(language: str) -> str:
    """Return every parameter with its limits, conditions and texts as a JSON document."""
    table = {
        "version": CURRENT_VERSION,
        "language": language,
        "parameters": [_described(item, language) for item in parameters()],
    }
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


def to_markdown(language: str) -> str:
    """Return the reference as a Markdown document; every parameter has an anchor (see `anchor`)."""
    lines = [f"# {translate('reference.title', language)}", "", translate("reference.intro", language), ""]
    return "\n".join([*lines, *sections(parameters(), language)]).rstrip() + "\n"


def sections(items: Iterable[Parameter], language: str) -> Iterator[str]:
    """Yield the lines of parameters, under a heading for each section."""
    section = ""
    for item in items:
        if item.section != section:
            section = item.section
            yield from (f"## {translate(f'section.{section}', language)} `[{section}]`", "")
        yield from _entry(item, language)


def _entry(item: Parameter, language: str) -> Iterator[str]:
    yield f'### <a id="{anchor(item.path)}"></a>{label(item, language)}'
    yield ""
    yield f"`{item.path}` | {' | '.join(_facts(item, language))}"
    yield ""
    yield help_text(item, language)
    yield ""
    if item.ui.when:
        conditions = translate("reference.and", language).join(_condition(each, language) for each in item.ui.when)
        yield translate("reference.when", language, conditions=conditions)
        yield ""
    if item.ui.aliases:
        yield translate("reference.aliases", language, names=", ".join(f"`{name}`" for name in item.ui.aliases))
        yield ""
    if item.kind in ITEM_MODELS:
        yield translate("reference.items", language)
        yield ""
        for inner in (inner for inner in item_parameters(item.kind) if not inner.ui.inherits):
            prefix = f"{item.kind}."
            facts = ", ".join(_facts(inner, language))
            name = label(inner, language, prefix=prefix)
            yield f"- `{inner.name}` {name} ({facts}): {help_text(inner, language, prefix=prefix)}"
        yield ""
        if rules := [f"`{inner.name}`" for inner in item_parameters(item.kind) if inner.ui.inherits]:
            yield translate("reference.rules", language, names=", ".join(rules))
            yield ""


def _facts(item: Parameter, language: str) -> Iterator[str]:
    """Yield kind with choices, limits, unit, default, tier."""
    kind = translate(f"reference.kind.{item.kind}", language)
    yield f"{kind} {', '.join(_value(choice, language) for choice in item.choices)}".strip()
    if item.minimum is not None:
        key = "reference.more_than" if item.exclusive_minimum else "reference.at_least"
        yield translate(key, language, value=f"{item.minimum:g}")
    if item.maximum is not None:
        yield translate("reference.at_most", language, value=f"{item.maximum:g}")
    if item.ui.unit:
        yield translate(f"units.{item.ui.unit}", language)
    yield f"{translate('reference.default', language)} {_value(item.default, language)}"
    yield translate(f"tier.{item.ui.tier}", language)


def _value(value: Any, language: str) -> str:
    """Return a value as it is written in TOML."""
    if value in (None, "", []):
        return translate("reference.empty", language)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _condition(condition: Condition, language: str) -> str:
    fact = f"fact.{condition.path}"
    path = translate(fact, language) if has(fact) else f"`{condition.path}`"
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    shown = ", ".join(_value(value, language) for value in values)
    return translate(f"reference.op.{condition.op}", language, path=path, value=shown)
