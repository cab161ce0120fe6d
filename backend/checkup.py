"""What `check`, `train` and `demo` say of a configuration before it runs: problems, plan, data sets, findings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import typer

from backend import console, preflight
from backend.config import paths
from backend.config.messages import translate
from backend.config.problems import Problem, render
from backend.config.root import TrainConfig
from backend.data import quality, user_code
from backend.data.findings import Finding
from backend.data.index import Index
from backend.data.records import Scan
from backend.data.report import DatasetReport, Report, report_of
from backend.data.scan import scan
from backend.runs import gpu

# The version of what --json prints; raised when a key goes or changes its meaning.
JSON_VERSION = 1
NUM_NAMES = 20
NUM_BUCKETS = 8
NUM_TAGS = 12


def announce(key: str, language: str, **params: object) -> None:
    """Print one of the texts of the command line."""
    typer.echo(translate(f"cli.{key}", language, **params))


def tell(problems: Iterable[Problem], language: str) -> bool:
    """Print problems to the error stream; returns whether one of them is an error."""
    has_error = False
    for problem in problems:
        typer.echo(f"{translate(f'cli.{problem.level}', language)} {render(problem, language)}", err=True)
        has_error |= problem.level == "error"
    return has_error


def machine_memory(device: str) -> int:
    """Return the memory in bytes that a training has: of the largest card, else of the machine."""
    cards = [] if device == "cpu" else gpu.gpus()
    return max((card.total_bytes for card in cards), default=0) or gpu.system().total_bytes


def examine(config: TrainConfig, found: Scan, runs_dir: str = "") -> preflight.Examined:
    """Find out everything that is known before a launch."""
    folder = paths.runs_dir(runs_dir)
    return preflight.examine(
        config,
        found,
        runs_dir=folder,
        memory_bytes=machine_memory(config.hardware.device),
        seconds_per_step=preflight.measured_seconds_per_step(config, folder),
    )


def may_run(config: TrainConfig, language: str, runs_dir: str = "") -> bool:
    """Print every problem and the plan; returns whether the configuration can run."""
    found = scan(config.data)
    examined = examine(config, found, runs_dir)
    if tell(examined.problems, language):
        return False
    _tell_plan(config, examined, found, language)
    return True


def check(
    config: TrainConfig, language: str, *, as_json: bool = False, look: bool = False, trust_code: bool = False
) -> bool:
    """Print problems, plan, data sets and findings; returns whether the configuration can run.

    Args:
        config: The configuration.
        language: Of what is written.
        as_json: For programs: one object on the output stream, and nothing else.
        look: Decode every picture first, for damage, blur and copies.
        trust_code: Confirm the user's Python files that the configuration names.
    """
    if trust_code:
        _trust(config, language)
    found = scan(config.data)
    if look:
        _look(found, language)
    examined = examine(config, found)
    report = None if examined.shown is None else report_of(examined.shown, examined.findings)
    has_error = any(problem.level == "error" for problem in examined.problems)
    if as_json:
        typer.echo(json.dumps(as_data(examined, report, language), ensure_ascii=False, indent=2))
        return not has_error
    about_pictures = [finding.problem for finding in examined.findings]
    tell((problem for problem in examined.problems if problem not in about_pictures), language)
    _tell_findings(examined.findings, language)
    if report is not None:
        _tell_datasets(report, language)
    if examined.plan is not None and not has_error:
        _tell_plan(config, examined, found, language)
    return not has_error


def _trust(config: TrainConfig, language: str) -> None:
    for dataset in config.data.datasets:
        if dataset.enabled and dataset.code_path.strip():
            path = paths.resolve(dataset.code_path)
            typer.echo(translate("cli.code_trusted", language, path=path, sha256=user_code.trust(path)), err=True)


def _look(found: Scan, language: str) -> None:
    """Decode every picture, and say on a terminal how far that is."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            typer.echo(f"\r{translate('cli.looking', language, done=done, total=total)}{end}", err=True, nl=False)

    with Index(paths.cache_dir()) as index:
        quality.look(found, index, progress=show)


def _tell_findings(findings: Iterable[Finding], language: str) -> None:
    """Print findings with their names, as far as these fit, and their fixes; errors and warnings as problems are."""
    for finding in findings:
        is_problem = finding.problem.level != "info"
        lines = [f"{translate(f'cli.{finding.problem.level}', language)} {render(finding.problem, language)}"]
        if len(finding.names) > 1:
            lines += [f"          {name}" for name in finding.names[:NUM_NAMES]]
        if len(finding.names) > NUM_NAMES:
            lines.append(f"          {translate('cli.more', language, num=len(finding.names) - NUM_NAMES)}")
        for fix in finding.fixes:
            paths_changed = ", ".join(path for path, _ in fix.changes)
            lines.append(f"        {translate('cli.fix', language, text=fix.text(language), paths=paths_changed)}")
        typer.echo("\n".join(lines), err=is_problem)


def _tell_datasets(report: Report, language: str) -> None:
    for row in report.datasets:
        _tell_dataset(row, language)
    if len(report.datasets) > 1:
        _tell_dataset(report.total, language)


def _tell_dataset(row: DatasetReport, language: str) -> None:
    """Print the numbers of a data set: pictures, captions, the largest buckets, the worst crop, the commonest tags."""
    numbers = {"images": row.num_images, "samples": row.num_samples}
    if row.role:
        role = translate(f"choice.datasets.role.{row.role}", language)
        announce("data.images", language, title=row.title, role=role, **numbers)
    else:
        announce("data.total", language, title=translate("cli.data.all", language), **numbers)
    if row.num_validation:
        announce("data.validation", language, num=row.num_validation)
    buckets = sorted(row.buckets, key=lambda bucket: -bucket.num_images)
    shown = ", ".join(f"{b.size[0]}x{b.size[1]}: {b.num_images}" for b in buckets[:NUM_BUCKETS])
    if buckets:
        more = " ..." if len(buckets) > NUM_BUCKETS else ""
        announce("data.buckets", language, num=len(buckets), shown=shown + more)
    if row.crops:
        announce("data.crops", language, share=f"{row.crops[0].share:.0%}")
    captions = row.captions
    announce(
        "data.captions",
        language,
        missing=captions.num_missing + captions.num_empty,
        mean=f"{captions.mean_tokens:.0f}",
        most=captions.most_tokens,
        limit=captions.limit,
    )
    if row.tags:
        tags = ", ".join(f"{tag} {number}" for tag, number in row.tags[:NUM_TAGS])
        announce("data.tags", language, shown=tags + (" ..." if len(row.tags) > NUM_TAGS else ""))


def _tell_plan(config: TrainConfig, examined: preflight.Examined, found: Scan, language: str) -> None:
    planned = examined.plan
    assert planned is not None, "a configuration without a plan has a problem"
    typer.echo(preflight.sentence(config, planned, found, language))
    announce("memory", language, size=preflight.gigabytes(planned.memory.total))
    announce(
        "disk",
        language,
        models=preflight.gigabytes(planned.disk.models),
        rest=preflight.gigabytes(planned.disk.caches + planned.disk.checkpoints),
    )
    if planned.seconds is not None:
        announce("time", language, time=console.clock(planned.seconds))


def as_data(examined: preflight.Examined, report: Report | None, language: str) -> dict[str, Any]:
    """Return what `check --json` prints. Texts are in the language; codes, paths and numbers are for programs."""
    problems = examined.problems
    return {
        "version": JSON_VERSION,
        "ok": not any(problem.level == "error" for problem in problems),
        "problems": [problem_data(problem, language) for problem in problems],
        "plan": _plan_data(examined.plan),
        "datasets": [asdict(row) for row in report.datasets] if report else [],
        "total": asdict(report.total) if report else None,
        "findings": [_finding_data(finding, language) for finding in examined.findings],
        "num_looked": report.num_looked if report else 0,
    }


def problem_data(problem: Problem, language: str) -> dict[str, Any]:
    """Return a problem for programs."""
    params: Mapping[str, Any] = {
        name: value if isinstance(value, (int, float, str, bool)) else str(value)
        for name, value in problem.params.items()
    }
    about = {"level": problem.level, "code": problem.code, "path": problem.path, "params": params}
    return {**about, "text": problem.text(language)}


def refused_data(problems: Iterable[Problem], language: str) -> dict[str, Any]:
    """Return what `check --json` prints of a configuration that cannot be read."""
    return as_data(preflight.Examined(None, list(problems)), None, language)


def _finding_data(finding: Finding, language: str) -> dict[str, Any]:
    fixes = [
        {"code": fix.code, "text": fix.text(language), "changes": [{"path": p, "value": v} for p, v in fix.changes]}
        for fix in finding.fixes
    ]
    return {**problem_data(finding.problem, language), "names": list(finding.names), "fixes": fixes}


def _plan_data(plan: preflight.Plan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {
        **asdict(plan.count),
        "memory_bytes": round(plan.memory.total),
        "disk_bytes": round(plan.disk.models + plan.disk.caches + plan.disk.checkpoints),
        "seconds": plan.seconds,
    }
