"""The smallest app with two commands: what `waitctl --help` is measured against."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def create(duration: str, execution: str = "wait") -> None:
    """Create a wait."""
    typer.echo(f"{execution} {duration}")


@app.command()
def tick(batch_size: int = 1000) -> None:
    """Resolve what is due."""
    typer.echo(batch_size)


if __name__ == "__main__":
    app()
