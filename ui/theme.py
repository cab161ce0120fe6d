"""How the app looks: one accent, calm greys, local fonts, light and dark."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

# The ember: one accent, for the one primary action of a page.
EMBER = colors.Color(
    name="ember",
    c50="#fff5ed",
    c100="#ffe7d3",
    c200="#ffcba5",
    c300="#ffa76d",
    c400="#ff7a32",
    c500="#f2590d",
    c600="#c2410c",
    c700="#a0340b",
    c800="#7f2b10",
    c900="#672610",
    c950="#381006",
)
FONT = ["Segoe UI", "system-ui", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans", "sans-serif"]
MONO = ["Cascadia Mono", "Consolas", "SFMono-Regular", "DejaVu Sans Mono", "monospace"]


def make_theme() -> gr.themes.Base:
    """Return the theme. Only fonts of the system are named: no request leaves the machine."""
    return gr.themes.Base(
        primary_hue=EMBER,
        secondary_hue=EMBER,
        neutral_hue=colors.zinc,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_md,
        font=FONT,
        font_mono=MONO,
    ).set(
        body_background_fill="#f6f6f7",
        body_background_fill_dark="#161618",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1f1f22",
        background_fill_secondary="#f1f1f3",
        background_fill_secondary_dark="#27272a",
        border_color_primary="#d9d9de",
        border_color_primary_dark="#3a3a40",
        body_text_color="#1b1b1f",
        body_text_color_dark="#e9e9ec",
        body_text_color_subdued="#5b5b66",
        body_text_color_subdued_dark="#a5a5b0",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        color_accent="*primary_600",
        block_shadow="none",
        block_shadow_dark="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#161618",
    )
