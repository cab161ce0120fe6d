"""python -m backend cache: fill the caches of a configuration without training, or clean them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import typer

from backend.config import paths
from backend.config.messages import translate
from backend.config.problems import UserError
from backend.config.root import TrainConfig
from backend.preflight import gigabytes
from backend.runs import supervisor

INTERRUPTED = 130


def fill(file: Path, config: TrainConfig, arguments: list[str], language: str) -> int:
    """Fill the caches, in as many processes as the configuration says; under accelerate's launcher, as it says.

    Args:
        file: The configuration.
        config: What was read from it.
        arguments: The further arguments of the command line, for processes that are started.
        language: Of what is written.

    Returns:
        The exit code.
    """
    is_launched = "LOCAL_RANK" in os.environ
    number = config.hardware.num_processes
    if number > 1 and not is_launched:
        launch = supervisor.launcher(num_processes=number, device=config.hardware.device)
        environment = supervisor.environment(gpu_ids=config.hardware.gpu_ids)
        return subprocess.call([*launch, "backend", "cache", str(file), *arguments], env=environment)
    # What the libraries say while they load is of no use to whoever fills a cache.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from backend.training.filling import fill as fill_here

    try:
        fill_here(config, language)
    except KeyboardInterrupt:
        typer.echo(translate("cli.cache.stopped", language), err=True)
        return INTERRUPTED
    if int(os.environ.get("RANK", "0")) == 0:
        typer.echo(translate("cli.cache.filled", language, path=paths.cache_dir(config.cache.dir)))
    return 0


def clean(folder: Path, *, unused_days: float | None, dry_run: bool, language: str) -> None:
    """Remove entries of pictures that are gone or changed, and of shards that no run used for long; tell what it is.

    Raises:
        UserError: There is no such cache.
    """
    from backend.data.cleaning import Waste, find_leftovers, find_orphans, find_unused, remove_leftovers
    from backend.data.index import Index
    from backend.data.shards import ShardStore

    if not folder.is_dir():
        raise UserError("cache_folder_missing", "cache.dir", value=str(folder))

    def write(key: str, **params: object) -> None:
        typer.echo(translate(f"cli.cache.{key}", language, **params))

    latents, texts = ShardStore(folder / "latents"), ShardStore(folder / "text")
    total = sum(path.stat().st_size for store in (latents, texts) for path in store.shards())
    write("summary", latents=len(latents.entries), texts=len(texts.entries), path=folder, size=gigabytes(total))
    with Index(folder) as index:
        orphans = find_orphans(latents, index)
    write("orphans", num=len(orphans.keys), size=gigabytes(orphans.num_bytes))
    wastes: list[tuple[ShardStore, Waste]] = [(latents, orphans)]
    if unused_days is not None:
        old = [(store, find_unused(store, days=unused_days)) for store in (latents, texts)]
        num, size = sum(len(waste.keys) for _, waste in old), sum(waste.num_bytes for _, waste in old)
        write("old", num=num, size=gigabytes(size), days=f"{unused_days:g}")
        wastes += old
    leftovers = [find_leftovers(store.folder) for store in (latents, texts)]
    num, size = sum(len(waste.keys) for waste in leftovers), sum(waste.num_bytes for waste in leftovers)
    if num:
        write("leftovers", num=num, size=gigabytes(size))
    if dry_run:
        return write("would")
    freed = sum(store.drop(waste.keys) for store, waste in wastes)
    freed += sum(store.remove_superseded() for store in (latents, texts))
    freed += sum(remove_leftovers(waste) for waste in leftovers)
    return write("removed", size=gigabytes(freed))


def arguments_of(sets: list[str], language: str) -> list[str]:
    """Return options as the command line has them."""
    return [*(part for each in sets for part in ("--set", each)), "--lang", language]
