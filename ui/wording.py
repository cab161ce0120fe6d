"""Numbers, sizes and times as people read them."""

from __future__ import annotations

import time

from backend.config.messages import translate
from ui.background import Cancelled, Progress

SIZES = ("B", "KB", "MB", "GB", "TB")


def duration(seconds: float | None, language: str) -> str:
    """Return a length of time with its two largest units, such as "1 h 5 min"; a dash when it is not known."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return translate("unit.hours_minutes", language, hours=hours, minutes=minutes)
    if minutes >= 10:
        return translate("unit.minutes", language, minutes=round(whole / 60))
    if minutes:
        return translate("unit.minutes_seconds", language, minutes=minutes, seconds=whole % 60)
    return translate("unit.seconds", language, seconds=whole)


def going_on(waiting: Progress | Cancelled, language: str, *, kind: str = "scan") -> str:
    """Return how far work in the background is: `kind` is scan, plan, report or closely."""
    if isinstance(waiting, Cancelled):
        return translate("look.cancelled", language)
    num, total = f"{waiting.num_done:,}", f"{waiting.num_total:,}" if waiting.num_total else "..."
    return with_time_left(translate(f"look.{kind}", language, num=num, total=total), waiting, language)


def with_time_left(text: str, waiting: Progress, language: str) -> str:
    """Return how far work is, with the time that is left as soon as that can be told."""
    if waiting.seconds_left is None or waiting.seconds < 2:
        return text
    return f"{text} · {translate('look.left', language, time=duration(waiting.seconds_left, language))}"


def percent(waiting: Progress) -> int | None:
    """Return how far work is; None where nobody knows."""
    return round(100 * waiting.num_done / waiting.num_total) if waiting.num_total else None


def num_bytes(size: float | None) -> str:
    """Return a size such as "144 MB"; a dash when it is not known."""
    if size is None:
        return "-"
    exponent = 0
    while size >= 1000 and exponent < len(SIZES) - 1:
        size /= 1024
        exponent += 1
    return f"{size:.0f} {SIZES[exponent]}" if size >= 10 or exponent == 0 else f"{size:.1f} {SIZES[exponent]}"


def number(value: float | None) -> str:
    """Return a number with three significant digits; small ones such as learning rates as 1e-4."""
    if value is None:
        return "-"
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def when(timestamp: float | None) -> str:
    """Return a time of day in local time, with the date unless it is today."""
    if timestamp is None:
        return "-"
    moment = time.localtime(timestamp)
    today = time.localtime()[:3] == moment[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", moment)
