"""A handler of bare Starlette on uvicorn: ``python -m benchmarks.reference_starlette LOOP HTTP``.

It says its port, and serves. ``uvloop httptools`` is what serves waitctl, too; ``asyncio h11`` is what uvicorn takes
where it was installed by itself.
"""

from __future__ import annotations

import socket
import sys
from typing import Literal, cast

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
    loop = cast("Literal['uvloop', 'asyncio']", sys.argv[1])
    http = cast("Literal['httptools', 'h11']", sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"serving http://127.0.0.1:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
    application = Starlette(routes=[Route("/hooks/{source}", hook, methods=["POST"])])
    config = uvicorn.Config(application, loop=loop, http=http, log_config=None, access_log=False, ws="none")
    uvicorn.Server(config).run(sockets=[listener])
