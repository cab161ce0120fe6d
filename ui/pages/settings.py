"""The Settings page: language, theme, folders, mirror. What is set here holds for good."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from backend.config import paths
from backend.config.messages import languages, translate
from backend.config.problems import UserError
from backend.editing.tag_lists import read_tag_list, read_translations
from backend.runs import supervisor
from ui import wording
from ui.markup import plain, render, script
from ui.thumbnail_cache import CACHE, LIMIT

if TYPE_CHECKING:
    from ui.context import AppContext

NAMES = ("theme", "runs_dir", "hub_endpoint", "tier", "tag_list", "tag_translations")
# Files that are read before they are taken.
LISTS: dict[str, Callable[[Path], object]] = {"tag_list": read_tag_list, "tag_translations": read_translations}


class SettingsPage:
    """The handlers of the page."""

    def __init__(self, context: AppContext) -> None:
        self.context = context

    def html(self) -> str:
        """Return the page with the settings as they are."""
        found = self.context.settings.get()
        return render(
            "settings.html",
            self.context.language,
            settings=found.model_dump(),
            languages=[(code, translate("language.name", code)) for code in languages()],
            runs_dir=paths.runs_dir(found.runs_dir),
            home=paths.home(),
            cache_dir=paths.cache_dir(),
        )

    def refreshed(self, shown: str) -> object:
        """Return the page when it differs from what is shown: what somebody has begun there stays."""
        fresh = self.html()
        return gr.skip() if fresh == shown else fresh

    def change_setting(self, change: dict[str, Any]) -> dict[str, str]:
        """Set one setting; returns what to say about it."""
        name, value = str(change.get("name")), change.get("value")
        assert name in NAMES, f"not a setting: {name}"
        try:
            if name == "runs_dir" and value:
                paths.resolve(str(value)).mkdir(parents=True, exist_ok=True)
            if name in LISTS and value:
                LISTS[name](paths.resolve(str(value)))
            self.context.settings.change(**{name: value})
        except UserError as error:
            return {"error": error.problem.text(self.context.language)}
        except OSError as error:
            reason = error.strerror or str(error)
            return {
                "error": UserError("file_unwritable", value=value, reason=reason).problem.text(self.context.language)
            }
        key = "settings.saved_restart" if name in ("runs_dir", "hub_endpoint") else "settings.saved"
        return {"text": self.context.t(key)}

    def clean_caches(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell what the caches hold of no use, or remove it; in a process of its own, which may load torch."""
        remove = bool(request.get("remove"))
        if not paths.cache_dir().is_dir():
            return {"text": self.context.t("settings.caches.none"), "can_clean": False}
        command = [sys.executable, "-m", "backend", "cache", "--clean", "--lang", self.context.language]
        done = subprocess.run(
            [*command, *([] if remove else ["--dry-run"])],
            cwd=paths.PROJECT_DIR,
            env=supervisor.environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        if done.returncode:
            return {"error": done.stderr.strip()[-1000:], "can_clean": False}
        return {"text": done.stdout.strip(), "can_clean": not remove}

    def thumbnails(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell how much room the thumbnails of the caption page take up, or remove them: they are made again."""
        if request.get("remove"):
            CACHE.clear()
        num, num_bytes = CACHE.total()
        key = "settings.thumbnails.found" if num else "settings.thumbnails.none"
        text = self.context.t(key, num=f"{num:,}", size=wording.num_bytes(num_bytes), limit=wording.num_bytes(LIMIT))
        return {"text": text, "can_clean": bool(num)}


def build(context: AppContext) -> None:
    """Lay out the page."""
    page = SettingsPage(context)
    shown = gr.HTML(
        page.html(),
        js_on_load=script("settings.js"),
        server_functions=[plain(page.change_setting), plain(page.clean_caches), plain(page.thumbnails)],
        elem_id="settings-form",
        elem_classes="flush",
    )
    context.on_load(page.refreshed, shown, shown, queue=False, show_progress="hidden", api_visibility="private")
