"""Starts a Postgres server that lives exactly as long as some process of ours uses it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bot.domain.errors import SayableError
from bot.playground.postgres_programs import (
    CLEAN_ENVIRONMENT,
    SHARED_ROOT,
    Account,
    Programs,
    can_reach,
    shared_folder,
)

# A socket's whole path fits in 103 bytes on macOS and 107 on Linux.
LONGEST_SOCKET_PATH = 103
PATIENCE_S = 60.0
_SOCKET_NAME = ".s.PGSQL.5432"

# Every process that uses the server holds the write end of the pipe on stdin. When the last one is gone,
# however it died, the pipe ends, and the inner shell stops the server. The outer shell is the server's
# parent, so that its number cannot be somebody else's by then; it leaves with the server, and then the
# pipe has no reader, which is how everybody sees that the server is gone.
_SUPERVISOR = """
temporary=$1; shift
exec 3<&0 </dev/null
(
    "$@" 3<&- &
    server=$!
    (while read -r _; do :; done; kill -INT "$server") <&3 3<&- &
    watch=$!
    exec 3<&-
    wait "$server"
    kill "$watch"
    [ -z "$temporary" ] || rmdir "$temporary"
) &
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folders of one cluster: `home` is ours, `cluster` belongs to the account of the server."""

    home: Path
    cluster: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.cluster / "data"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Our share in a running server: it stops when the last membership ends."""

    place: Place
    socket_folder: Path
    users_lock: int
    alive_pipe: int
    started_here: bool

    def is_alive(self) -> bool:
        return _has_reader(self.alive_pipe)


def make_home(home: Path, account: Account) -> None:
    """Make our own folder, which other users may at most pass through."""
    for folder in (*reversed(home.parents), home):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            # Root's umask may close it to the server's account; an ordinary user's is their own choice.
            if os.geteuid() == 0:
                folder.chmod(0o755)
                give_to_owner(folder)
    mode = 0o711 if account.run_as else 0o700
    if stat.S_IMODE(home.stat().st_mode) != mode:
        home.chmod(mode)


def prepare_place(home: Path, account: Account, shared: Path = SHARED_ROOT) -> Place:
    """Make the folder of the cluster. The caller holds `exclusive(home)`.

    Root's server needs a cluster that its account can reach. Where the project is closed to it, such as below
    /root, we open nobody's folder: the cluster then lives below `shared`, and a link stands in its place.
    """
    cluster = home / "cluster"
    if not cluster.exists():
        cluster.unlink(missing_ok=True)  # a link whose target is gone
        _make_cluster_folder(cluster, account, shared)
    return Place(home=home, cluster=cluster.resolve(), account=account)


def join(place: Place, programs: Programs, settings: Mapping[str, str]) -> Membership:
    """Take part in the running server, or start it. The caller holds `exclusive(place.home)`.

    Raises:
        SayableError: it does not start; the sentence ends with what Postgres said.
    """
    users_lock = _open_lock(place.home / "users.lock")
    try:
        fcntl.flock(users_lock, fcntl.LOCK_SH)
        alive_pipe = _open_running(place)
        started_here = alive_pipe is None
        if alive_pipe is None:
            _clear_leftovers(place)
            alive_pipe = _start(place, programs, settings)
        return Membership(
            place=place,
            socket_folder=Path(_pid_file(place)[4]),
            users_lock=users_lock,
            alive_pipe=alive_pipe,
            started_here=started_here,
        )
    except BaseException:
        os.close(users_lock)
        raise


def leave(membership: Membership) -> None:
    """Give our share back; the last one waits until the server has stopped.

    The caller holds `exclusive(place.home)`, so that nobody joins a server that is stopping.
    """
    try:
        fcntl.flock(membership.users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        last = True
    except BlockingIOError:
        last = False
    os.close(membership.alive_pipe)
    if last:
        _wait_until(lambda: _running_pid(membership.place) is None)
    os.close(membership.users_lock)


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """One process at a time makes, starts or stops the cluster.

    Raises:
        SayableError: another process holds on to it.
    """
    lock = _open_lock(home / "starting.lock")
    try:
        if not _wait_until(lambda: _try_lock(lock)):
            raise SayableError(
                f"Another mimawari has been starting or stopping the database in {home} for"
                f" {PATIENCE_S:.0f} seconds: stop it and try again."
            )
        yield
    finally:
        os.close(lock)


def make_cluster(place: Place, programs: Programs, password: str) -> None:
    """Run `initdb`, all or nothing: a half-made cluster never has the final name."""
    unfinished = place.cluster / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    secret = place.cluster / "secret"
    secret.unlink(missing_ok=True)
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.fchown(descriptor, place.account.uid, place.account.gid)
        os.write(descriptor, password.encode())
        os.close(descriptor)
        # The built-in C.UTF-8 is the same on every system; before 17 only plain C was.
        locale = ["--locale=C"]
        if programs.major >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = subprocess.run(  # noqa: S603 - our own program
            [
                programs.folder / "initdb",
                f"--pgdata={unfinished}",
                "--username=postgres",
                f"--pwfile={secret}",
                # Sockets only, and a password for everybody, the server's own account included.
                "--auth-local=scram-sha-256",
                "--auth-host=reject",
                "--encoding=UTF8",
                *locale,
                "--no-sync",
                "--no-instructions",
            ],
            cwd="/",
            env=CLEAN_ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            umask=0o077,
            **place.account.run_as,
        )
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode != 0:
        raise SayableError(f"Postgres could not make its cluster in {place.home}: {done.stderr}")
    unfinished.rename(place.data)


def give_to_owner(path: Path) -> None:
    """Root leaves nothing of its own in a user's folder, which the user then could not use."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _open_lock(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    give_to_owner(path)
    return lock


def _make_cluster_folder(cluster: Path, account: Account, shared: Path) -> None:
    folder = cluster
    if not can_reach(cluster.parent, account):
        name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]
        folder = shared_folder(shared, "clusters") / name
        # Without its link it is what remains of a project folder that was removed.
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    if account.run_as:
        os.chown(folder, account.uid, account.gid)
    if folder != cluster:
        cluster.symlink_to(folder)


def _open_running(place: Place) -> int | None:
    """The pipe of the running server, once it is ready; None where none runs."""
    try:
        pipe = os.open(place.home / "alive", os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENXIO}:  # no pipe, or nobody who reads it
            return None
        raise
    if _wait_until(lambda: _is_ready(place) or not _has_reader(pipe)) and _has_reader(pipe):
        return pipe
    os.close(pipe)
    return None


def _clear_leftovers(place: Place) -> None:
    """Stop a server that lost its supervisor, and unlink what a dead one left.

    Postgres asks only whether the process that its pid file names is alive, which after a restart of the
    machine may be a stranger.
    """
    pid = _running_pid(place)
    if pid is not None:
        os.kill(pid, signal.SIGINT)
        if not _wait_until(lambda: _running_pid(place) is None):
            raise SayableError(f"The old Postgres server (process {pid}) does not stop: stop it.")
    (place.data / "postmaster.pid").unlink(missing_ok=True)
    (place.cluster / f"{_SOCKET_NAME}.lock").unlink(missing_ok=True)


def _start(place: Place, programs: Programs, settings: Mapping[str, str]) -> int:
    socket_folder, temporary = _choose_socket_folder(place)
    alive = place.home / "alive"
    alive.unlink(missing_ok=True)
    os.mkfifo(alive, 0o600)
    give_to_owner(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    pipe = os.open(alive, os.O_WRONLY)
    os.set_blocking(reader, True)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_folder),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # A container's /dev/shm is too small for parallel workers' shared memory.
        "max_parallel_workers_per_gather": "0",
        **settings,
    }
    command = [str(programs.folder / "postgres"), "-D", str(place.data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    try:
        log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        give_to_owner(place.log)
        try:
            subprocess.run(  # noqa: S603 - our own program
                ["/bin/sh", "-c", _SUPERVISOR, "sh", temporary, *command],
                cwd="/",
                env=CLEAN_ENVIRONMENT,
                stdin=reader,
                stdout=log,
                stderr=log,
                umask=0o077,
                # Ctrl-C in our terminal is for us: the server stops after we have finished with it.
                start_new_session=True,
                check=True,
                **place.account.run_as,
            )
        finally:
            os.close(log)
            os.close(reader)
        _wait_for_start(place, pipe)
    except BaseException:
        os.close(pipe)
        raise
    return pipe


def _wait_for_start(place: Place, pipe: int) -> None:
    if _wait_until(lambda: _is_ready(place) or not _has_reader(pipe)) and _has_reader(pipe):
        return
    said = place.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
    raise SayableError(f"Postgres did not start in {place.home}. It said: " + " / ".join(said))


def _choose_socket_folder(place: Place) -> tuple[Path, str]:
    """Beside the data, or where that path is unfit for a socket a fresh folder that goes with the server."""
    beside = place.cluster / _SOCKET_NAME
    # A comma would separate two hosts for the clients.
    if len(os.fsencode(beside)) <= LONGEST_SOCKET_PATH and re.fullmatch(
        r"[\w/.@+ -]+", str(beside)
    ):
        return place.cluster, ""
    # /tmp, as TMPDIR is a long path itself on macOS. The name cannot be guessed, the folder is ours alone.
    folder = Path(tempfile.mkdtemp(prefix="mimawari-", dir="/tmp"))
    if place.account.run_as:
        os.chown(folder, place.account.uid, place.account.gid)
    return folder, str(folder)


def _pid_file(place: Place) -> list[str]:
    """The lines of Postgres's own pid file: pid, data, time, port, socket folder, address, memory, status."""
    with suppress(FileNotFoundError):
        return (place.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    return []


def _is_ready(place: Place) -> bool:
    lines = _pid_file(place)
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _running_pid(place: Place) -> int | None:
    """The process that the pid file names, if it is a Postgres on this very cluster and no stranger."""
    lines = _pid_file(place)
    if not lines:
        return None
    pid = int(lines[0])
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return None
    if Path("/proc/self/cmdline").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return None
        return pid if os.fsencode(place.data) in words else None
    told = subprocess.run(  # noqa: S603 - a fixed command
        ["/bin/ps", "-p", str(pid), "-o", "args="], capture_output=True, check=False
    )
    return pid if os.fsencode(place.data) in told.stdout else None


def _has_reader(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Look often at first, as a warm start takes 30 ms, then seldom; False when patience ends."""
    deadline = time.monotonic() + patience_s
    pause = 0.002
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return True
