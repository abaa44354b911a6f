"""The primary dies, the standby takes over: commands that name both hosts, and those behind a proxy, go on."""

from __future__ import annotations

from tests.chaos.proxy import Proxy
from tests.chaos.stage import Stage, check_words, until
from tests.chaos.stops import ready_socket
from tests.cli.processes import finish, interrupt
from tests.invariants import invariants
from waitctl import Database


def failover(stage: Stage) -> str:
    """A resident tick and an await stay through it; every command works afterwards, by both forms of URL."""
    primary = stage.server
    primary.create("failover")
    standby = primary.standby(stage.folder / "standby")
    stage.stack.callback(lambda: standby.stop() if standby.is_running else None)
    both = (
        f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/failover"
        "?target_session_attrs=read-write"
    )
    with Proxy(primary.port) as proxy, ready_socket(stage) as (address, said):
        command, moved = stage.command(both), stage.command(primary.url("failover", proxy.port))
        first = command("create", "for-event", "email_open", "--contact", "a@example.org", "-o", "id").ok().out.strip()
        watch = command.start("tick", "--watch", "--interval", "1s", env={"NOTIFY_SOCKET": address})
        until(lambda: b"READY=1" in said(), "a resident tick that is ready")
        awaiting = [each.start("await", first, "--timeout", "50s") for each in (command, moved)]
        until(lambda: listening(stage) >= 3, "awaits that listen")
        until(lambda: caught_up(stage), "a standby that has everything")
        primary.stop()
        standby.promote()
        proxy.point_at(standby.port)
        for each in (command, moved):
            check_words(finish(each.start("pending")), 0)
        command("event", "record", "email_open", "--contact", "a@example.org", "--id", "one").ok()
        for process in awaiting:
            check_words(finish(process), 0)
        due = command("create", "fixed-time", "1s", "-o", "id").ok().out.strip()
        check_words(finish(command.start("await", due, "--timeout", "50s")), 0)
        check_words(interrupt(watch), 0)
    with Database(standby.url("failover")) as database, database.read() as connection:
        invariants(connection)
    return "a watch and two awaits came through a promotion"


def listening(stage: Stage) -> int:
    """How many sessions listen."""
    with stage.server.connect("failover") as look:
        found = look.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'").fetchone()
    return int(found[0]) if found else 0


def caught_up(stage: Stage) -> bool:
    """Whether the standby has replayed all that the primary wrote."""
    query = "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication"
    with stage.server.connect("failover") as look:
        return look.execute(query).fetchone() == (True,)
