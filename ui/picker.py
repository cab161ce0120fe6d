"""The folder picker as a widget: one for the whole app, opened by any button that names a text box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from markupsafe import Markup

from backend.config.messages import translate
from ui.folders import PickKind, Roots, answer
from ui.markup import render, script

TEXTS = (
    "choose_folder", "choose_model", "choose_data", "choose_code", "choose", "cancel", "up", "path", "places",
    "pictures", "model", "hidden", "empty", "not_allowed", "no_permission", "unreadable",
)  # fmt: skip


def texts(language: str) -> dict[str, str]:
    """Return the words of the picker; the errors under their whole key, as the listing names them."""
    words = {name: translate(f"folders.{name}", language) for name in TEXTS}
    return {**words, **{f"folders.{name}": words[name] for name in TEXTS}, "": ""}


def build(language: str, roots: Callable[[], Roots]) -> gr.HTML:
    """Add the picker to the page, once. Its value is its words, so that another language is another value."""

    def list_folders(request: dict[str, Any]) -> dict[str, Any]:
        return answer(request, roots())

    return gr.HTML(
        texts(language),
        html_template="<span hidden></span>",
        js_on_load=script("texts.js") + script("folders.js"),
        server_functions=[list_folders],
        elem_id="folder-picker-widget",
    )


def browse_html(target: str, kind: PickKind, language: str) -> Markup:
    """Return a button that opens the picker for the text box with this element id."""
    return render("browse.html", language, target=target, kind=kind)
