"""The embedded Postgres: starts anywhere, keeps its data, leaves with its users, lets nobody else in."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from bot.domain.errors import SayableError
from bot.playground.postgres import (
    LEDGER_DATABASE,
    LEDGER_OWNER,
    LEDGER_READER,
    MARKET_DATABASE,
    SUPERUSER,
    Server,
    embedded_postgres,
    only_one,
)
from bot.playground.postgres_programs import Account, RunAs, choose_account, find_programs
from bot.playground.postgres_server import make_home, prepare_place

ROOT = Path(__file__).parents[2]
as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# Enters the server, says so, and leaves when its input ends.
HOLDER = """
import asyncio, pathlib, sys
from bot.playground.postgres import embedded_postgres

async def hold():
    async with embedded_postgres(pathlib.Path(sys.argv[1])) as server:
        print(server.dsn("postgres", "postgres"), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(hold())
"""
# What root's run of this file repeats as an ordinary user.
ESSENTIAL = (
    "first_start or restart or only_user_was_killed or stranger or no_socket or closed_socket"
)
SERVE = """
import asyncio, pathlib, sys
from bot.playground.postgres import serve_database

def write(line):
    print(line, flush=True)

asyncio.run(serve_database(pathlib.Path(sys.argv[1]), as_json=sys.argv[2] == "json", write=write))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's account can reach, as pytest's own is closed to it when we are root."""
    path = Path(tempfile.mkdtemp(prefix="mimawari-postgres-"))
    if os.geteuid() == 0:
        path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts one of the programs above on the folder; what still runs afterwards is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_program(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_program
    for process in started:
        process.kill()
        process.communicate()
    wait_until(lambda: server_pid(folder) is None)


def wait_until(condition: Callable[[], bool], patience_s: float = 20) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < patience_s, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - begun


def server_pid(folder: Path) -> int | None:
    files = list(folder.glob("*/cluster/data/postmaster.pid"))
    return int(files[0].read_text().splitlines()[0]) if files else None


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def ask(dsn: str, question: str) -> object:
    conn = await asyncpg.connect(dsn)
    try:
        return await conn.fetchval(question)
    finally:
        await conn.close()


async def test_a_first_start_gives_both_databases_to_their_roles_alone(folder: Path) -> None:
    async with embedded_postgres(folder) as server:
        for url in server.environment().values():
            assert await ask(url, "SELECT current_user || '@' || current_database()") in {
                "mimawari_app@mimawari",
                "mimawari_owner@mimawari",
                "mimawari_reader@mimawari",
                "market_reader@market",
            }
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(server.dsn(MARKET_DATABASE, LEDGER_OWNER), "SELECT 1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(server.dsn("postgres", LEDGER_OWNER), "SELECT 1")


async def test_a_cluster_of_an_earlier_version_gets_the_roles_that_came_since(folder: Path) -> None:
    async with embedded_postgres(folder) as server, server.superuser(LEDGER_DATABASE) as conn:
        await conn.execute(f"DROP OWNED BY {LEDGER_READER}; DROP ROLE {LEDGER_READER}")
    (path,) = folder.glob("*/passwords.json")
    passwords = json.loads(path.read_text(encoding="ascii"))
    del passwords[LEDGER_READER]
    path.write_text(json.dumps(passwords), encoding="ascii")
    async with embedded_postgres(folder) as server:
        assert await ask(server.dsn(LEDGER_DATABASE, LEDGER_READER), "SELECT 1") == 1
        assert {role: server.passwords[role] for role in passwords} == passwords


async def test_what_was_written_is_there_after_a_restart(folder: Path) -> None:
    async with embedded_postgres(folder) as server:
        owner = server.dsn(LEDGER_DATABASE, LEDGER_OWNER)
        await ask(owner, "CREATE SCHEMA kept")
    assert server_pid(folder) is None
    begun = time.monotonic()
    async with embedded_postgres(folder) as server:
        assert time.monotonic() - begun < 1.5
        assert await ask(owner, "SELECT to_regnamespace('kept')::text") == "kept"


async def test_it_stops_within_two_seconds_after_its_only_user_was_killed(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = start(HOLDER)
    assert await ask(first_line(holder), "SELECT 1") == 1
    holder.kill()
    assert wait_until(lambda: server_pid(folder) is None) < 2


async def test_it_stays_for_its_second_user_when_the_one_that_started_it_is_killed(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    first = start(HOLDER)
    first_line(first)
    pid = server_pid(folder)
    async with embedded_postgres(folder) as server:
        first.kill()
        first.wait()
        await asyncio.sleep(0.3)
        assert await ask(server.dsn("postgres", SUPERUSER), "SELECT 1") == 1
        assert server_pid(folder) == pid
    assert server_pid(folder) is None


async def test_first_starts_at_once_share_one_server(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    together = [start(HOLDER) for _ in range(4)]
    addresses = {first_line(process) for process in together}
    assert len(addresses) == 1
    assert (
        await ask(addresses.pop(), "SELECT count(*) FROM pg_database WHERE datname = 'market'") == 1
    )


async def test_a_start_right_after_a_kill_gets_a_server_that_stays(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    for _ in range(3):
        holder = start(HOLDER)
        first_line(holder)
        holder.kill()
        async with embedded_postgres(folder) as server:
            await asyncio.sleep(0.2)
            assert await ask(server.dsn("postgres", SUPERUSER), "SELECT 1") == 1


async def test_a_pid_file_that_names_a_stranger_is_no_hindrance(folder: Path) -> None:
    async with embedded_postgres(folder):
        data = next(folder.glob("*/cluster/data"))
        left_behind = (data / "postmaster.pid").read_text()
    # Of the server's own account: of another one, Postgres itself knows better.
    with subprocess.Popen(["sleep", "60"], **choose_account(folder).run_as) as stranger:
        pid, rest = left_behind.split("\n", 1)
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{rest}")
        (data.parent / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n{rest}")
        async with embedded_postgres(folder) as server:
            assert await ask(server.dsn("postgres", SUPERUSER), "SELECT 1") == 1
            assert server_pid(folder) not in {stranger.pid, int(pid)}
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the shells through /proc")
async def test_a_server_that_lost_its_shells_is_stopped_and_started_anew(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = start(HOLDER)
    first_line(holder)
    orphan = server_pid(folder)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0")
        if words[0] == b"/bin/sh" and os.fsencode(folder) in b" ".join(words):
            os.kill(int(path.parent.name), signal.SIGKILL)
    holder.kill()
    await asyncio.sleep(0.3)
    assert server_pid(folder) == orphan
    async with embedded_postgres(folder) as server:
        assert await ask(server.dsn("postgres", SUPERUSER), "SELECT 1") == 1
        assert server_pid(folder) != orphan


async def test_leaving_a_server_that_was_killed_is_quick_and_the_next_start_recovers(
    folder: Path,
) -> None:
    async with embedded_postgres(folder) as server:
        owner = server.dsn(LEDGER_DATABASE, LEDGER_OWNER)
        await ask(owner, "CREATE SCHEMA kept")
        pid = server_pid(folder)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2
    async with embedded_postgres(folder):
        assert await ask(owner, "SELECT to_regnamespace('kept')::text") == "kept"


@pytest.mark.parametrize("name", ["x" * 110, "with space, comma & 見回り"])
async def test_a_path_that_no_socket_can_have_works_and_leaves_nothing_outside(
    folder: Path, name: str
) -> None:
    async with embedded_postgres(folder / name) as server:
        assert not server.socket_folder.is_relative_to(folder)
        assert stat.S_IMODE(server.socket_folder.stat().st_mode) == 0o700
        assert await ask(server.environment()["DATABASE_URL"], "SELECT 1") == 1
    wait_until(lambda: not server.socket_folder.exists())


async def test_only_a_password_over_a_closed_socket_lets_anybody_in(folder: Path) -> None:
    async with embedded_postgres(folder) as server:
        async with server.superuser() as conn:
            rules = await conn.fetch("SELECT DISTINCT type, auth_method FROM pg_hba_file_rules")
            assert await conn.fetchval("SHOW listen_addresses") == ""
        assert {tuple(r) for r in rules} == {("local", "scram-sha-256"), ("host", "reject")}
        wrong = Server(socket_folder=server.socket_folder, passwords={SUPERUSER: "guessed"})
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(wrong.dsn("postgres", SUPERUSER), "SELECT 1")
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (*folder.glob("*/passwords.json"), *folder.glob("*/cluster"))
        }
        assert modes == {"passwords.json": 0o600, "cluster": 0o700}


@as_root_only
async def test_another_user_of_the_machine_is_refused_even_with_the_password(folder: Path) -> None:
    stranger = pwd.getpwnam("daemon")
    account = Account(uid=stranger.pw_uid, gid=stranger.pw_gid)
    psql = find_programs(account).folder / "psql"
    async with embedded_postgres(folder) as server:
        refused = await asyncio.create_subprocess_exec(
            psql,
            server.dsn("postgres", SUPERUSER),
            "--command=SELECT 1",
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **account.run_as,
        )
        _, said = await refused.communicate()
    assert refused.returncode == 2
    assert b"Permission denied" in said


async def test_the_market_reader_reads_the_market_and_can_do_nothing_else(
    market_dsn: str, market_reader_dsn: str
) -> None:
    await ask(market_dsn, "CREATE SCHEMA backoffice")
    await ask(market_dsn, "CREATE TABLE backoffice.secrets ()")
    await ask(market_dsn, "CREATE TABLE market.made_later ()")
    await ask(
        market_dsn,
        "CREATE FUNCTION market.write() RETURNS void LANGUAGE sql AS 'DELETE FROM market.orders'",
    )
    try:
        assert await ask(market_reader_dsn, "SHOW transaction_read_only") == "on"
        assert await ask(market_reader_dsn, "SELECT count(*) FROM market.orders") == 0
        assert await ask(market_reader_dsn, "SELECT count(*) FROM market.made_later") == 0
        for refused in (
            "DELETE FROM market.orders",
            "CREATE TABLE market.mine ()",
            "CREATE TABLE public.mine ()",
            "CREATE TEMPORARY TABLE mine ()",
            "CREATE SCHEMA mine",
            "SELECT count(*) FROM backoffice.secrets",
            "SELECT market.write()",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            conn = await asyncpg.connect(market_reader_dsn)
            try:
                with pytest.raises(
                    (asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientPrivilegeError)
                ):
                    await conn.execute(refused)
                # The read-only default is only a courtesy: the rights must hold without it.
                await conn.execute("SET default_transaction_read_only = off")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await conn.execute(refused)
            finally:
                await conn.close()
    finally:
        await ask(market_dsn, "DROP TABLE market.made_later")
        await ask(market_dsn, "DROP FUNCTION market.write")


async def test_the_application_role_cannot_create(database_server: Server, ledger_dsn: str) -> None:
    for refused in (
        "CREATE TABLE public.mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE SCHEMA mine",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(ledger_dsn, refused)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_db_start_tells_the_addresses_and_stays_until_it_is_stopped(
    folder: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    service = start(SERVE, "json")
    addresses = json.loads(first_line(service))
    assert set(addresses) == {
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "DATABASE_READER_URL",
        "MARKET_DATABASE_URL",
    }
    assert await ask(addresses["DATABASE_URL"], "SELECT current_user") == "mimawari_app"
    service.send_signal(number)
    assert service.wait(10) == 0
    assert server_pid(folder) is None


async def test_ctrl_c_reaches_us_before_the_server_so_that_we_can_finish(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = start(HOLDER)
    address = first_line(holder)
    pid = server_pid(folder)
    assert pid is not None
    # A terminal's Ctrl-C goes to the process group; the server must not be in it.
    assert os.getpgid(pid) != os.getpgid(holder.pid)
    assert os.getsid(pid) != os.getsid(holder.pid)
    assert await ask(address, "SELECT 1") == 1


async def test_the_lines_of_db_start_can_be_pasted_into_a_shell(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    service = start(SERVE, "text")
    lines = [first_line(service) for _ in range(3)]
    told = subprocess.run(
        ["/bin/sh", "-c", ";".join(lines) + '; printf %s "$DATABASE_URL"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert await ask(told.stdout, "SELECT current_user") == "mimawari_app"


async def test_a_lost_password_file_is_told_in_a_sentence(folder: Path) -> None:
    async with embedded_postgres(folder):
        next(folder.glob("*/passwords.json")).unlink()
    with pytest.raises(SayableError, match="nobody enters the database without it"):
        async with embedded_postgres(folder):
            pass


@as_root_only
def test_a_folder_of_somebody_else_is_told_in_a_sentence(folder: Path) -> None:
    with borrowed_account(folder) as (interpreter, environment, run_as):
        (folder / "18").mkdir(mode=0o700)
        done = subprocess.run(
            [interpreter, "-c", HOLDER, str(folder)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **run_as,
        )
    assert "belongs to another user: run mimawari as that user" in done.stderr


async def test_a_folder_that_cannot_be_one_is_told_in_a_sentence(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(SayableError, match="cannot live in"):
        async with embedded_postgres(folder / "file"):
            pass


async def test_a_start_that_fails_says_what_postgres_said(folder: Path) -> None:
    with pytest.raises(SayableError, match="unrecognized configuration parameter"):
        async with embedded_postgres(folder, settings={"no_such_setting": "1"}):
            pass
    async with embedded_postgres(folder) as server:
        assert await ask(server.environment()["DATABASE_URL"], "SELECT 1") == 1


def test_a_folder_without_programs_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SayableError, match="holds no `postgres`"):
        find_programs(choose_account(tmp_path), tmp_path)


def test_a_second_demo_is_told_that_one_runs(tmp_path: Path) -> None:
    with only_one(tmp_path, "demo"):
        second = only_one(tmp_path, "demo")
        with pytest.raises(SayableError, match=rf"already runs .*process {os.getpid()}"), second:
            pass
    with only_one(tmp_path, "demo"):
        assert (tmp_path / "demo.lock").read_text() == str(os.getpid())


@as_root_only
def test_root_copies_programs_that_the_servers_account_cannot_reach(folder: Path) -> None:
    account = choose_account(folder)
    original = find_programs(Account(uid=0, gid=0)).folder
    if original.parent.name != "pginstall":
        pytest.skip("the wheel with Postgres is not installed")
    closed = folder / "closed"
    package = original.parents[1]
    shutil.copytree(package / "pginstall", closed / package.name / "pginstall")
    libraries = package.with_name(package.name + ".libs")
    shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    programs = find_programs(
        account, closed / package.name / "pginstall" / "bin", shared=folder / "shared"
    )
    assert programs.folder.is_relative_to(folder / "shared")
    version = subprocess.run(
        [programs.folder / "initdb", "--version"], check=True, cwd="/", **account.run_as
    )
    assert version.returncode == 0
    # Somebody else's folder of that name is never trusted.
    os.chown(folder / "shared" / "programs", account.uid, account.gid)
    with pytest.raises(SayableError, match="only root can write"):
        find_programs(
            account, closed / package.name / "pginstall" / "bin", shared=folder / "shared"
        )


@as_root_only
def test_roots_data_lives_elsewhere_when_the_project_is_closed_and_opens_no_folder(
    folder: Path,
) -> None:
    account = choose_account(folder)
    project = folder / "closed"
    project.mkdir(mode=0o700)
    make_home(project / ".data" / "18", account)
    place = prepare_place(project / ".data" / "18", account, shared=folder / "shared")
    assert place.cluster.is_relative_to(folder / "shared")
    assert place.cluster.stat().st_uid == account.uid
    assert stat.S_IMODE(project.stat().st_mode) == 0o700
    again = prepare_place(project / ".data" / "18", account, shared=folder / "shared")
    assert again == place
    (place.cluster / "old").touch()
    shutil.rmtree(project / ".data")
    make_home(project / ".data" / "18", account)
    fresh = prepare_place(project / ".data" / "18", account, shared=folder / "shared")
    assert list(fresh.cluster.iterdir()) == []


@as_root_only
def test_root_uses_the_account_that_owns_the_project(folder: Path) -> None:
    owner = pwd.getpwnam("daemon")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    account = choose_account(folder / ".data")
    assert (account.uid, account.gid) == (owner.pw_uid, owner.pw_gid)
    make_home(folder / ".data" / "18", account)
    place = prepare_place(folder / ".data" / "18", account)
    assert {p.stat().st_uid for p in (place.home, place.home.parent, place.cluster)} == {
        owner.pw_uid
    }


@as_root_only
def test_an_ordinary_user_gets_the_same(folder: Path) -> None:
    with borrowed_account(folder) as (interpreter, environment, run_as):
        done = subprocess.run(
            [
                interpreter,
                "-m",
                "pytest",
                "-n0",
                "-p",
                "no:cacheprovider",
                "-k",
                ESSENTIAL,
                __file__,
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **run_as,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


@contextmanager
def borrowed_account(folder: Path) -> Iterator[tuple[str, dict[str, str], RunAs]]:
    """A Python, an environment and an account with which this checkout runs as an ordinary user."""
    user = pwd.getpwnam("nobody")
    run_as = Account(uid=user.pw_uid, gid=user.pw_gid).run_as
    packages = Path(pytest.__file__).parents[1]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": f"{ROOT}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(folder),
        "HOME": str(folder),
    }
    folder.chmod(0o1777)
    # The virtual environment's own Python may lie below root's closed home.
    for interpreter in (sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        if can_run(interpreter, environment, run_as):
            yield interpreter, environment, run_as
            return
    pytest.skip("this checkout or its Python is closed to other users")


def can_run(interpreter: str, environment: dict[str, str], run_as: RunAs) -> bool:
    try:
        done = subprocess.run(
            [interpreter, "-c", "import asyncpg, pytest, bot.playground.postgres"],
            cwd="/",
            env=environment,
            capture_output=True,
            check=False,
            **run_as,
        )
    except OSError:
        return False
    return done.returncode == 0
