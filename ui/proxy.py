"""TensorBoard under our own address: `/tensorboard/...` is passed on to the server that listens on this machine only.

So it is reached wherever the app is: over the network, behind a login, and behind a reverse proxy with a path in front.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

# Headers of one connection, which are not passed on (RFC 9110, 7.6.1), and what is between the browser and us alone.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
PRIVATE = frozenset({"host", "cookie", "set-cookie", "authorization", "proxy-authorization", "origin", "referer"})
METHODS = ["GET", "HEAD", "POST"]


def _headers(headers: httpx.Headers | dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP | PRIVATE}


def router(upstream: Callable[[], str | None], authorised: Callable[[Request], bool]) -> APIRouter:
    """Return the route `/tensorboard/...`.

    Args:
        upstream: Returns the address of the running TensorBoard, such as http://127.0.0.1:6006/tensorboard, or None.
        authorised: Tells whether a request comes from somebody who is logged in.
    """
    routes = APIRouter()
    # trust_env off: a proxy of the user's is for the internet, not for this machine.
    client = httpx.AsyncClient(timeout=httpx.Timeout(10, read=None), trust_env=False)

    @routes.get("/font-roboto/{path:path}")
    async def fonts(request: Request, path: str) -> StreamingResponse:
        # TensorBoard asks for its fonts at the root, whatever its prefix.
        return await tensorboard(request, f"font-roboto/{path}")

    @routes.api_route("/tensorboard/{path:path}", methods=METHODS)
    async def tensorboard(request: Request, path: str) -> StreamingResponse:
        if not authorised(request):
            raise HTTPException(401)
        address = upstream()
        if address is None:
            raise HTTPException(503, "TensorBoard is not running. Open the TensorBoard page to start it.")
        url = httpx.URL(f"{address}/{path}", query=request.url.query.encode())
        headers = _headers(dict(request.headers))
        content = await request.body()
        passed_on = client.build_request(request.method, url, headers=headers, content=content)
        try:
            response = await client.send(passed_on, stream=True)
        except httpx.TransportError as error:
            raise HTTPException(502, "TensorBoard does not answer. Open the TensorBoard page to start it.") from error
        return StreamingResponse(
            response.aiter_raw(),
            status_code=response.status_code,
            headers=_headers(response.headers),
            background=BackgroundTask(response.aclose),
        )

    return routes
