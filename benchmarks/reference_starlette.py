"""A handler of bare Starlette on uvicorn: ``python -m benchmarks.reference_starlette`` says its port, and serves."""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def hook(request: Request) -> Response:
    """Read the body and answer."""
    body = await request.body()
    return JSONResponse({"received": len(body)}, 202)


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"serving http://127.0.0.1:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
    application = Starlette(routes=[Route("/hooks/{source}", hook, methods=["POST"])])
    config = uvicorn.Config(application, log_config=None, access_log=False, ws="none")
    uvicorn.Server(config).run(sockets=[listener])
