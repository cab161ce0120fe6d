"""Where the app listens, who may come in, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import webbrowser
from threading import Timer

import uvicorn
from fastapi import FastAPI

from backend.config.problems import UserError

NUM_PORTS = 50
# So long is waited for what is being answered; a tab that is open has always asked something.
ENDING_SECONDS = 2


def is_free(port: int, host: str) -> bool:
    """Tell whether a port can be listened on, and nothing answers on it."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        if os.name != "nt":  # a port that was just given back; on Windows this option would share a port in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def host_of(*, listen: bool) -> str:
    """Return the address to listen on: this machine alone, unless others are let in."""
    return "0.0.0.0" if listen else "127.0.0.1"


def open_browser(url: str) -> None:
    """Open a tab as soon as the app may be expected to answer."""
    Timer(1.5, webbrowser.open, [url]).start()


def choose_port(wanted: int, *, listen: bool) -> int:
    """Return the wanted port, or the next free one.

    Raises:
        UserError: None of the next fifty is free.
    """
    host = host_of(listen=listen)
    for port in range(wanted, min(wanted + NUM_PORTS, 65536)):
        if is_free(port, host):
            return port
    raise UserError("no_port", value=wanted)


def read_login(text: str, *, listen: bool) -> tuple[str, str] | None:
    """Return name and password; without any, those of the environment's ATHANOR_LOGIN.

    Raises:
        UserError: They are missing although others may come in, or not written as NAME:PASSWORD.
    """
    text = text or os.environ.get("ATHANOR_LOGIN", "")
    name, colon, password = text.partition(":")
    if text and not (colon and name and password):
        raise UserError("login_invalid")
    if listen and not text:
        raise UserError("login_missing")
    return (name, password) if text else None


def address(port: int, root_path: str) -> str:
    """Return the address on this machine."""
    return f"http://127.0.0.1:{port}{root_path.rstrip('/')}/"


def serve(app: FastAPI, port: int, root_path: str, *, listen: bool) -> None:
    """Answer until ended by Ctrl+C, or politely by another program; tabs that are open hold nobody up."""
    # Whoever ends us politely is Ctrl+C: uvicorn hands the signal on when it has stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    host = host_of(listen=listen)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        root_path=root_path,
        timeout_graceful_shutdown=ENDING_SECONDS,
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a line of the log is one: that tabs were open when the app ended is none, in fifty lines."""
    is_cut_off = record.exc_info is not None and record.exc_info[0] is asyncio.CancelledError
    return not is_cut_off and "timeout graceful shutdown" not in str(record.msg)
