"""Where things are: the project, the program's own folders, and what a path in a configuration means."""

from __future__ import annotations

import os
from pathlib import Path

from backend.config.root import TrainConfig

PROJECT_DIR = Path(__file__).resolve().parents[2]


def home() -> Path:
    """Return the folder for runs, caches and uploads: the project's, or where ATHANOR_HOME points."""
    return Path(os.environ.get("ATHANOR_HOME") or PROJECT_DIR)


def runs_dir(configured: str = "") -> Path:
    """Return the runs folder."""
    return resolve(configured) if configured.strip() else home() / "runs"


def cache_dir(configured: str = "") -> Path:
    """Return the folder of the latent and text caches."""
    return resolve(configured) if configured.strip() else home() / "cache"


def resolve(path: str) -> Path:
    """Return an absolute path; a relative one counts from the current folder, else from the project (presets/...)."""
    plain = Path(path.strip().strip('"')).expanduser()
    if plain.is_absolute() or plain.exists() or not (PROJECT_DIR / plain).exists():
        return Path.cwd() / plain
    return PROJECT_DIR / plain


def local_or_hub(model: str) -> str:
    """Return a base model's absolute path when it is on this machine, else the text as it is: a hub id."""
    path = resolve(model)
    return str(path) if path.exists() else model.strip()


def absolute(config: TrainConfig) -> TrainConfig:
    """Return a configuration that means the same from any current folder: what a run is frozen with."""
    model = config.model.model_copy(
        update={
            "base_model": local_or_hub(config.model.base_model) if config.model.base_model.strip() else "",
            "vae": local_or_hub(config.model.vae) if config.model.vae.strip() else "",
            "config_dir": _absolute_or_empty(config.model.config_dir),
        }
    )
    datasets = [item.model_copy(update={"path": _absolute_or_empty(item.path)}) for item in config.data.datasets]
    return config.model_copy(
        update={
            "model": model,
            "data": config.data.model_copy(update={"datasets": datasets}),
            "cache": config.cache.model_copy(update={"dir": _absolute_or_empty(config.cache.dir)}),
        }
    )


def _absolute_or_empty(path: str) -> str:
    return str(resolve(path)) if path.strip() else ""
