"""Where things are: the project, the program's own folders, and what a path in a configuration means."""

from __future__ import annotations

import os
import re
from pathlib import Path

from backend.config.datasets import DatasetConfig
from backend.config.root import TrainConfig

ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
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


def is_address(path: str) -> bool:
    """Tell whether a path is an address such as s3://bucket/key."""
    return ADDRESS.match(path.strip()) is not None


def location(path: str) -> str:
    """Return an address as it is, and a path as an absolute one; an empty text stays empty."""
    plain = path.strip()
    return plain if not plain or is_address(plain) else str(resolve(plain))


def local_or_hub(model: str) -> str:
    """Return the absolute path of a model or data set that is on this machine, else the text as it is: a hub id."""
    path = resolve(model)
    return str(path) if path.exists() else model.strip()


def absolute(config: TrainConfig) -> TrainConfig:
    """Return a configuration that means the same from any current folder: what a run is frozen with."""
    model = config.model.model_copy(
        update={
            "base_model": local_or_hub(config.model.base_model) if config.model.base_model.strip() else "",
            "vae": local_or_hub(config.model.vae) if config.model.vae.strip() else "",
            "config_dir": location(config.model.config_dir),
        }
    )
    datasets = [_absolute_dataset(item) for item in config.data.datasets]
    return config.model_copy(
        update={
            "model": model,
            "data": config.data.model_copy(update={"datasets": datasets}),
            "cache": config.cache.model_copy(update={"dir": location(config.cache.dir)}),
        }
    )


def _absolute_dataset(dataset: DatasetConfig) -> DatasetConfig:
    path = dataset.path
    of_hub = dataset.source == "huggingface" and bool(path.strip()) and not is_address(path)
    folders = {
        name: location(getattr(dataset, name)) for name in ("image_dir", "mask_dir", "conditioning_dir", "code_path")
    }
    return dataset.model_copy(update={"path": local_or_hub(path) if of_hub else location(path), **folders})
