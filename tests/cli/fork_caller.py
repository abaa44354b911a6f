"""`waitctl` for scripts: ``fork_caller.py SOCKET ARGUMENT…`` runs as a fork that `tests.cli.forks` is asked for.

An interpreter that imports next to nothing: a script calls it hundreds of times.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main(path: str, *arguments: str) -> int:
    """Hand over the streams, wait for the command's end; its exit status, as a shell gives it."""
    (request, writer), (answer, said) = os.pipe(), os.pipe()
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(path)
        socket.send_fds(asked, [b"."], [request, 0, 1, 2, said])
    os.close(request)
    os.close(said)
    with os.fdopen(writer, "w") as text:
        json.dump({"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}, text)  # noqa: PTH109
    with os.fdopen(answer) as lines:
        status = int(lines.read()[10:])
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
