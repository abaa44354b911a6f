"""The web door: webhooks in, an API and a dashboard. Needs the extra `waitctl[web]`, and nothing else needs it.

``waitctl.web:app`` is the ASGI application of this host's settings, for any server; `create_app` makes one of other
settings, or of a part of it, to be mounted in somebody's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from waitctl.web.application import create_app

    app: Starlette

__all__ = ["app", "create_app"]


def __getattr__(name: str) -> Any:
    """Make the application when it is asked for: importing this reads no settings."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from waitctl.web.application import create_app

    globals()["create_app"] = create_app
    if name == "app":
        from waitctl.infrastructure.config import load_settings

        globals()["app"] = create_app(load_settings())
    return globals()[name]
