"""What a person set for the app itself: language, theme, folders, mirror. One small JSON file, no secret in it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from backend.config.paths import home
from backend.config.presets import write_text

Theme = Literal["system", "light", "dark"]


class Settings(BaseModel):
    """The settings. Empty text means: the default."""

    model_config = ConfigDict(extra="ignore")

    language: str = ""
    theme: Theme = "system"
    runs_dir: str = ""
    hub_endpoint: str = ""
    tier: Literal["basic", "advanced", "experimental"] = "basic"
    last_folder: str = ""
    # CSV files of the caption page: tags with their kinds and counts, and what tags are called in another language.
    tag_list: str = ""
    tag_translations: str = ""


class SettingsFile:
    """The settings on disk, read once and written whole at every change."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "settings.json"
        self._lock = threading.Lock()
        self._settings = self._read()

    def _read(self) -> Settings:
        try:
            return Settings.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return Settings()
        except (OSError, ValidationError):
            self._keep_damaged()
            return Settings()

    def _keep_damaged(self) -> None:
        """Put a file that cannot be read aside, so that nothing of the user's is overwritten."""
        aside = self.path.with_suffix(".damaged.json")
        if self.path.is_file() and not aside.exists():
            self.path.rename(aside)

    def get(self) -> Settings:
        """Return the settings as they are now."""
        return self._settings

    def change(self, **values: Any) -> Settings:
        """Set some and write all."""
        with self._lock:
            self._settings = Settings.model_validate({**self._settings.model_dump(), **values})
            write_text(self.path, json.dumps(self._settings.model_dump(), indent=1, ensure_ascii=False))
            return self._settings
