"""The parameter reference as a page of its own, made from the schema; the form links to each entry."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from backend.config import reference
from backend.config.messages import languages, translate
from taggers import reference as tagging_reference

STYLE = (
    "body{font:16px/1.6 system-ui,'Microsoft YaHei','Noto Sans CJK SC',sans-serif;max-width:820px;margin:32px auto;"
    "padding:0 20px;color-scheme:light dark}code{font-size:.9em}h3{margin-top:2em}:target{scroll-margin-top:16px}"
    "h3:has(:target){outline:2px solid #c2410c;outline-offset:6px;border-radius:4px}"
)


@cache
def page(language: str) -> str:
    """Return the whole reference in one language as HTML."""
    import markdown  # takes a moment, and is needed only when somebody reads

    parts = [reference.to_markdown(language), tagging_reference.to_markdown(language)]
    body = "".join(markdown.markdown(part, extensions=["tables"]) for part in parts)
    title = translate("expert.reference", language)
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{title}</title>"
    return f"<!doctype html><html lang='{language}'><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>"


def router() -> APIRouter:
    """Return the route `/reference/<language>`."""
    routes = APIRouter()

    @routes.get("/reference/{language}")
    def show(language: str) -> HTMLResponse:
        if language not in languages():
            raise HTTPException(404)
        return HTMLResponse(page(language))

    return routes
