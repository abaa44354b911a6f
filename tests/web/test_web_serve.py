"""`waitctl serve` as a process: where it listens, how it ends, and what a SIGKILL under load loses: nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl, finish, interrupt
from tests.interleaving import until
from tests.web.door import JSON, Client
from waitctl import Database, DeliveryService, EventService, WaitSchedulingService, WaitSpec

TOKEN = "a-token-of-more-than-16-characters"
CONFIG = """
[sources.open]
format = "cloudevents"
verify = false
[serve.tokens.admin]
token_env = "WAITCTL_TEST_TOKEN"
scopes = ["events", "read", "write"]
"""


@pytest.fixture
def run(url: str, tmp_path: Path) -> Waitctl:
    return Waitctl(tmp_path, url)


@pytest.fixture
def run_sqlite(migrated_sqlite_url: str, tmp_path: Path) -> Waitctl:
    return Waitctl(tmp_path, migrated_sqlite_url)


def configured(run: Waitctl, config: str = CONFIG) -> dict[str, str | None]:
    file = run.folder / "web.toml"
    file.write_text(config)
    file.chmod(0o600)
    return {"WAITCTL_CONFIG": str(file), "WAITCTL_TEST_TOKEN": TOKEN}


@contextmanager
def served(run: Waitctl, *options: str, env: dict[str, str | None]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that listens, and the line in which it says where. What it says later is read, too."""
    process = run.start("serve", *options, env=env)
    try:
        yield process, _line(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.decode())
        if said[-1].startswith("serving "):
            return said[-1].rstrip()
    raise AssertionError(said)


def client_of(line: str, token: str | None = TOKEN) -> Client:
    return Client(int(line.rstrip("/").rpartition(":")[2]), token)


def cloud_event(number: int) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "type": "page_visit",
        "source": "load",
        "id": str(number),
        "subject": "ada@example.org",
        "datacontenttype": "application/json",
        "data": {"n": number},
    }


def test_a_server_that_is_killed_under_load_has_stored_all_that_it_acknowledged(run: Waitctl) -> None:
    """What it did not acknowledge is sent again, without a second effect."""
    env = configured(run)
    acknowledged, lock = set[int](), threading.Lock()
    numbers = iter(range(2_000))

    def post(client: Client, until: threading.Event) -> None:
        while not until.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                answer = client.post("/hooks/open", cloud_event(number))
            except (OSError, HTTPException):  # an answer that was cut off is none
                return
            assert answer.status == 202, answer
            with lock:
                acknowledged.add(number)
                if len(acknowledged) == 120:
                    process.kill()

    with served(run, "--port", "0", env=env) as (process, line):
        stop = threading.Event()
        threads = [threading.Thread(target=post, args=(client_of(line), stop)) for _ in range(8)]
        for thread in threads:
            thread.start()
        process.wait(60)
        stop.set()
        for thread in threads:
            thread.join()
    assert len(acknowledged) >= 120
    with Database(str(run.url)) as database:
        events = EventService(database)
        stored = {int(event.data["n"]) for event in events.list_events(limit=10_000)}
        assert acknowledged <= stored
        with served(run, "--port", "0", env=env) as (_, line):
            client = client_of(line)
            sent = sorted(stored | acknowledged)[-30:]
            again = client.ask(
                "POST",
                "/hooks/open",
                json.dumps([cloud_event(number) for number in sent]),
                {"Content-Type": "application/cloudevents-batch+json"},
            )
        assert again.json["duplicates"] + again.json["recorded"] == len(sent)
        assert len(events.list_events(limit=10_000)) == len(stored | set(sent))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_answers_what_it_has_begun(run_sqlite: Waitctl, number: signal.Signals) -> None:
    with served(run_sqlite, "--port", "0", env=configured(run_sqlite)) as (process, line):
        client = client_of(line)
        client.post("/api/v1/workflows/w/executions/e/wait", {"type": "fixed-time", "duration": "1h"})
        connection = HTTPConnection("127.0.0.1", client.port, timeout=60)
        connection.request(
            "GET",
            "/api/v1/workflows/executions/e/wait/wait?until=ended&timeout=50",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        assert client.get("/healthz").status == 503  # it has read that by now
        finished = interrupt(process, number)
        assert connection.getresponse().status == 200
        connection.close()
    assert (finished.code, finished.out, finished.err) == (0, "", "")


def test_it_listens_on_a_unix_socket_for_its_group_alone(run_sqlite: Waitctl) -> None:
    path = run_sqlite.folder / "web.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    env = configured(run_sqlite)
    with served(run_sqlite, "--uds", str(path), env=env) as (process, line):
        assert line == f"serving unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /login HTTP/1.1\r\nHost: waits.example.org\r\nConnection: close\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        second = run_sqlite("serve", "--uds", str(path), env=env)
        assert "another server listens there" in second.error(2)
        interrupt(process, signal.SIGTERM)
    assert not path.exists()
    path.write_text("mine")
    assert "something else" in run_sqlite("serve", "--uds", str(path), env=env).error(2)


def test_behind_a_proxy_it_goes_by_its_own_names_and_those_of_this_machine(run_sqlite: Waitctl) -> None:
    path = run_sqlite.folder / "web.sock"
    env = configured(run_sqlite, CONFIG + '[serve]\nhosts = ["waits.example.org"]\n')
    answers = {}
    with served(run_sqlite, "--uds", str(path), env=env):
        for name in ("waits.example.org", "localhost:8180", "127.0.0.1", "evil.example"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.sendall(f"GET /login HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                answers[name] = _answer(connection).split()[1]
    assert answers == dict.fromkeys(answers, b"200") | {"evil.example": b"421"}


def test_it_takes_over_the_socket_that_systemd_listens_on(run_sqlite: Waitctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        os.set_inheritable(listener.fileno(), True)
        process = subprocess.Popen(
            [*_command(), "serve", "--fd", str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env=run_sqlite.environment(configured(run_sqlite)),
            cwd=run_sqlite.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert _line(process) == f"serving the socket 127.0.0.1:{port}"
            assert Client(port, TOKEN).get("/waits").status == 200
            assert interrupt(process, signal.SIGTERM).code == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def _command() -> list[str]:
    from tests.cli.processes import COMMAND

    return [*COMMAND]


def test_it_ticks_beside_the_server(run: Waitctl) -> None:
    env = configured(run)
    with served(run, "--port", "0", "--tick", env=env) as (process, line), Database(str(run.url)) as database:
        client = client_of(line)
        wait = WaitSchedulingService(database).create_fixed_time_wait("1s", WaitSpec("e")).wait
        ended = client.get("/api/v1/workflows/executions/e/wait/wait?until=ended&timeout=50").json
        assert (ended["id"], ended["resolution"]) == (wait.id, "due")
        health = client.get("/healthz")
        assert (health.status, health.json["status"]) == (200, "ok")
        finished = interrupt(process, signal.SIGTERM)
    assert finished.code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_what_its_tick_runs_and_who_it_waits_for(run: Waitctl, number: signal.Signals) -> None:
    """The first one lets a command go on for its timeout, and a request for a while; nothing more begins."""
    started = run.folder / "started"
    command = f'[handlers.h]\nexec = ["sh", "-c", "echo >> {started}; sleep 600"]\ntimeout = "10m"\n'
    env = configured(run, CONFIG + command)
    with Database(str(run.url)) as database:
        waits = WaitSchedulingService(database)
        waits.resume_wait(waits.create_fixed_time_wait("1h", WaitSpec("hangs", handler="h")).wait.id)
        with served(run, "--port", "0", "--tick", env=env) as (process, line):
            port = client_of(line).port
            until(started.exists, "the command")
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(b"POST /hooks/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
                assert client_of(line).get("/healthz").status in {200, 503}, "it has read that by now"
                process.send_signal(number)
                until(partial(is_refused, port), "the end of its port")
                waits.resume_wait(waits.create_fixed_time_wait("1h", WaitSpec("late", handler="h")).wait.id)
                assert process.poll() is None
                finished = interrupt(process, number)
                assert _answer(connection) == b""
        assert (finished.code, finished.out) == (0, "")
        [said] = finished.err.splitlines()
        assert said.startswith("WARNING: retried: ")
        assert started.read_text() == "\n"
        found = {
            waits.get_wait_status(each.wait_id).wait.workflow_execution_id: each
            for each in DeliveryService(database).list_deliveries()
        }
    assert (found["late"].status, found["late"].attempt) == ("pending", 0)
    assert (found["hangs"].status, found["hangs"].attempt) == ("pending", 1)
    assert "the tick was told to end at once" in str(found["hangs"].last_error)


def is_refused(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "beyond this machine"),
        (["--host", "::"], "beyond this machine"),
        (["--allow-actions"], "scope write"),
        (["--uds", "x", "--fd", "3"], "give one of them"),
        (["--only", "nothing"], "nothing"),
        (["--fd", "77"], "--fd 77"),
        (["--root-path", "waits"], "begins with a /"),
        (["--port", "70000"], "65535"),
    ],
)
def test_what_would_be_open_or_cannot_be_is_refused_at_the_start(
    run_sqlite: Waitctl, options: list[str], words: str
) -> None:
    assert words in run_sqlite("serve", *options, env=configured(run_sqlite, "")).error(2)


def test_a_port_that_is_taken_is_said(run_sqlite: Waitctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "in use" in run_sqlite("serve", "--port", port, env=configured(run_sqlite)).error(2)


def test_a_database_that_is_not_there_ends_it_and_one_that_is_away_does_not(tmp_path: Path) -> None:
    missing = Waitctl(tmp_path, f"sqlite:///{tmp_path / 'none.db'}")
    assert "no database" in missing("serve", env=configured(missing)).error(5)
    away = Waitctl(tmp_path, "postgresql://nobody@127.0.0.1:9/none")
    with served(away, "--port", "0", env=configured(away)) as (process, line):
        client = client_of(line)
        answer = client.get("/api/v1/waits")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert client.get("/healthz").json == {"status": "database_away", "last_tick_age_seconds": None}
        hook = client.ask("POST", "/hooks/open", json.dumps(cloud_event(1)), JSON)
        assert (hook.status, hook.code, hook.headers["retry-after"]) == (503, "database_unreachable", "5")
        assert "127.0.0.1" not in json.dumps(hook.json), "a stranger may ask there"
        process.terminate()
        assert finish(process).code == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('[serve.tokens.a]\nscopes = ["read"]', "token_env or token_file"),
        ('[serve.tokens.a]\ntoken_env = "T"\nscopes = ["all"]', "events, read, write"),
        ('[serve.tokens.a]\ntoken_env = "T"', "scopes"),
        ('[serve.tokens.a]\ntoken_env = "NOT_SET"\nscopes = ["read"]', "NOT_SET"),
        ("[serve]\nmax_requests = 0", "max_requests"),
        ('[serve]\nroot_path = "waits"', "root_path"),
        ('[serve]\ntls_cert = "x"', "belong together"),
        ("[serve]\nopen = true", "open"),
    ],
)
def test_a_config_that_is_wrong_is_refused(run_sqlite: Waitctl, config: str, words: str) -> None:
    assert words in run_sqlite("serve", env=configured(run_sqlite, config)).error(2)


# -- what a client may say before it says what it wants ----------------------------------------------------------------


@pytest.fixture
def listening(run_sqlite: Waitctl) -> Iterator[int]:
    """The port of a server."""
    WaitSchedulingService(str(run_sqlite.url)).create_fixed_time_wait("1h", WaitSpec("order-17"))
    with served(run_sqlite, "--port", "0", env=configured(run_sqlite)) as (_, line):
        yield client_of(line).port


HEADS = {
    "a line without an end": b"GET /" + b"x" * 200_000,
    "a header without an end": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000,
    "headers without an end": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 40_000,
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_without_an_end_is_not_kept(listening: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", listening), timeout=60) as connection:
        with suppress(ConnectionError):  # it need not hear us out
            for start in range(0, len(head), 10_000):
                connection.sendall(head[start : start + 10_000])
        assert _answer(connection) in {b"HTTP/1.1 431 Request Header Fields Too Large", b""}
    assert Client(listening, TOKEN).get("/api/v1/waits").status == 200


def test_who_does_not_say_what_it_wants_is_not_waited_for(listening: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", listening), timeout=60) as silent,
        socket.create_connection(("127.0.0.1", listening), timeout=60) as slow,
        socket.create_connection(("127.0.0.1", listening), timeout=60) as second,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HT")
        for connection in (silent, slow):
            assert _answer(connection) == b"HTTP/1.1 408 Request Timeout"
        assert second.recv(12) in {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        while second.recv(4096):
            pass


def test_who_asks_for_another_protocol_writes_nothing_into_the_log(run_sqlite: Waitctl) -> None:
    WaitSchedulingService(str(run_sqlite.url)).create_fixed_time_wait("1h", WaitSpec("order-17"))
    asked = {"Connection": "Upgrade", "Upgrade": "websocket"}
    with served(run_sqlite, "--port", "0", env=configured(run_sqlite)) as (process, line):
        assert client_of(line).get("/waits", **asked).status == 200
        assert client_of(line).ask("CONNECT", "/waits").status == 405
        stopped = interrupt(process, signal.SIGTERM)
    assert (stopped.code, stopped.err) == (0, "")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["two headers", "a line and a header"],
)
def test_a_request_is_for_one_host(listening: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", listening), timeout=60) as connection:
        connection.sendall(head)
        assert _answer(connection) == b"HTTP/1.1 400 Bad Request"


def _answer(connection: socket.socket) -> bytes:
    """The first line of all that is answered, once the other side has closed."""
    said = b""
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            said += part
    return said.partition(b"\r\n")[0]
