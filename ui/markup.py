"""HTML of our own widgets: Jinja templates with escaping on, so that no caption or run name can become markup.

`gr.HTML` compiles its `html_template` as JavaScript, where even `{{value}}` would run a `${...}` found in a caption.
Widgets therefore keep the default template, and everything that changes is the value, escaped here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from backend.config.messages import translate
from ui import wording

STATIC_DIR = Path(__file__).parent / "static"
TEMPLATES_DIR = Path(__file__).parent / "templates"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": wording.duration,
        "num_bytes": wording.num_bytes,
        "when": wording.when,
        "number": wording.number,
    }
    return environment


def render(template: str, language: str, **values: Any) -> Markup:
    """Fill a template of `ui/templates`; `t(key, **params)` in it is the text of a locale key in `language`."""
    t = partial(_text, language)
    return Markup(_environment().get_template(template).render(t=t, language=language, **values))  # noqa: S704


def _text(language: str, key: str, **params: Any) -> str:
    return translate(key, language, **params)


@cache
def script(name: str) -> str:
    """Return a script of `ui/static`, for `js_on_load` of a widget."""
    return (STATIC_DIR / name).read_text(encoding="utf-8")


def plain(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a method as a function of the same name: Gradio marks the functions that a widget may call."""

    def call(request: Any = None) -> Any:
        return method(request)

    call.__name__ = method.__name__
    return call
