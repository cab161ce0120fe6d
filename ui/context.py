"""What every page is given: the services of the app, shared by all browser tabs, and the language of this one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from backend.config import paths
from backend.config.messages import translate
from backend.runs.queue import Queue
from backend.runs.tensorboard import TensorBoard
from ui.captions_desk import Desks
from ui.findings import Finder
from ui.pictures import Thumbnails
from ui.settings import SettingsFile
from ui.state import Draft
from ui.watch import RunWatch


@dataclass(frozen=True, slots=True)
class Services:
    """What is there once, whatever the language: built when the app starts."""

    settings: SettingsFile
    draft: Draft
    watch: RunWatch
    queue: Queue
    tensorboard: TensorBoard
    finder: Finder
    is_remote: bool
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    desks: Desks = field(default_factory=Desks)

    @classmethod
    def create(cls, runs_dir: Path, *, is_remote: bool = False) -> Services:
        """Build them for one runs folder."""
        return cls(
            settings=SettingsFile(),
            draft=Draft(),
            watch=RunWatch(runs_dir),
            queue=Queue(runs_dir),
            tensorboard=TensorBoard(),
            finder=Finder(runs_dir),
            is_remote=is_remote,
        )

    @classmethod
    def create_configured(cls, runs_dir: str, *, is_remote: bool, language: str) -> Services:
        """Build them for the runs folder that was asked for, or set, or is the default."""
        settings = SettingsFile()
        if language:
            settings.change(language=language)
        if settings.get().hub_endpoint:
            os.environ["HF_ENDPOINT"] = settings.get().hub_endpoint  # for the trainers that we start
        return cls.create(paths.runs_dir(runs_dir or settings.get().runs_dir), is_remote=is_remote)


@dataclass(frozen=True, slots=True)
class AppContext:
    """One language's app: its pages are built once with this."""

    services: Services
    language: str
    blocks: gr.Blocks

    @property
    def settings(self) -> SettingsFile:
        return self.services.settings

    @property
    def draft(self) -> Draft:
        return self.services.draft

    @property
    def watch(self) -> RunWatch:
        return self.services.watch

    @property
    def queue(self) -> Queue:
        return self.services.queue

    @property
    def finder(self) -> Finder:
        return self.services.finder

    @property
    def tensorboard(self) -> TensorBoard:
        return self.services.tensorboard

    @property
    def tensorboard_log_path(self) -> Path:
        return paths.home() / "logs" / "tensorboard.log"

    @property
    def uploads_dir(self) -> Path:
        return paths.home() / "data"

    @property
    def t(self) -> Callable[..., str]:
        """The texts: called with a key and what stands in its gaps."""
        return partial(_text, self.language)

    def on_load(self, handler: Callable[..., Any], inputs: Any, outputs: Any, **options: Any) -> None:
        """Run a handler whenever a browser opens or reloads the page."""
        self.blocks.load(handler, inputs, outputs, **options)


def _text(language: str, key: str, **params: Any) -> str:
    return translate(key, language, **params)
