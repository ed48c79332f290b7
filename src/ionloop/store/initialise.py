"""Set up a mongod that runs with ``--auth --keyFile --replSet``: replica set, users, indexes.

Run on the server's own machine, since MongoDB lets the first user be made through loopback
only. Every step looks first and changes what differs, so that running it again is harmless, and
passwords follow their files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from ionloop.errors import StoreError
from ionloop.store.connection import WRONG_PASSWORD
from ionloop.store.indexes import create_indexes
from ionloop.store.mongod import REPLICA_SET
from ionloop.store.secret_files import read_secret

Client = MongoClient[dict[str, Any]]

ROOT = "root"
#: Users of the campaign database, with the one role that each has there.
USERS = {"runner": "readWrite", "viewer": "read"}
#: Suffix of the file with root's last password, which alone can give root a new one.
OLD = ".old"
#: MongoDB's codes Unauthorized and AlreadyInitialized.
_UNAUTHORIZED, _ALREADY_INITIALIZED = 13, 23


@dataclass(frozen=True)
class Server:
    """A mongod on this machine, and where its secrets are.

    ``secrets`` is a folder with the files ``root_password``, ``runner_password`` and
    ``viewer_password``. The member of the replica set is called 127.0.0.1:port: right on the
    server's machine and through a tunnel to the same port; others say ``directConnection=true``.
    """

    secrets: Path
    database: str
    port: int = 27017
    patience_s: float = 60.0

    @property
    def member(self) -> str:
        """Name of the replica set's only member."""
        return f"127.0.0.1:{self.port}"

    def password(self, user: str, suffix: str = "") -> str:
        """Read a user's password."""
        return read_secret(self.secrets / f"{user}_password{suffix}", f"password of {user}")

    @contextmanager
    def connect(self, user: str | None = None, suffix: str = "") -> Iterator[Client]:
        """Connect through loopback, as a user or as nobody."""
        source = "admin" if user == ROOT else self.database
        login: dict[str, Any] = {}
        if user:
            login = {"username": user, "password": self.password(user, suffix)}
            login["authSource"] = source
        client: Client = MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=1000, **login
        )
        with client:
            yield client

    def knows(self, user: str, suffix: str = "") -> bool:
        """Whether a user's password is that of its file."""
        try:
            with self.connect(user, suffix) as client:
                client.admin.command("ping")
        except OperationFailure as error:
            if error.code == WRONG_PASSWORD:
                return False
            raise
        return True


def initialise(server: Server) -> list[str]:
    """Bring a server into order; return what was found or done, a line each.

    Raises
    ------
    StoreError
        If a secret's file is refused, the server doesn't answer in time, or root's password
        is another than its file's. No message holds a password.
    """
    for user in (ROOT, *USERS):
        server.password(user)  # all of them, before anything is changed
    try:
        _wait_for(server, "an answer", lambda client: bool(client.admin.command("ping")))
        done = [_replica_set(server), _root(server)]
        with server.connect(ROOT) as root:
            done += [_user(server, root, user, role) for user, role in USERS.items()]
            made = create_indexes(root[server.database])
    except PyMongoError as error:
        what = f"{type(error).__name__} {getattr(error, 'code', None) or ''}".strip()
        msg = f"MongoDB at {server.member} refused: {what}; read its log"
        raise StoreError(msg) from error
    return [*done, f"{sum(map(len, made.values()))} indexes"]


def _wait_for(server: Server, what: str, reached: Callable[[Client], bool]) -> None:
    end = time.monotonic() + server.patience_s
    with server.connect() as client:
        while time.monotonic() < end:
            try:
                if reached(client):
                    return
            except ConnectionFailure:
                pass  # it starts, or has just become a member
            time.sleep(0.1)
    msg = (
        f"expected {what} of a mongod at {server.member} in {server.patience_s:.0f} s, got none; "
        "read its log"
    )
    raise StoreError(msg)


def _is_primary(client: Client) -> bool:
    return bool(client.admin.command("hello").get("isWritablePrimary"))


def _replica_set(server: Server) -> str:
    """Initiate the replica set of one, or follow a changed port; wait until it takes writes."""
    with server.connect() as client:
        hello = client.admin.command("hello")
        done = "is there"
        if not hello.get("setName"):
            done = "initiated" if _initiate(client, server.member) else "moved"
    if done == "moved":
        _move(server)
    _wait_for(server, "writes", _is_primary)
    return f"replica set {REPLICA_SET}: {done}"


def _initiate(client: Client, member: str) -> bool:
    """Make it a replica set; False if it is one whose member has another name."""
    config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": member}]}
    try:
        client.admin.command("replSetInitiate", config)
    except OperationFailure as error:
        if error.code in (_UNAUTHORIZED, _ALREADY_INITIALIZED):
            return False
        raise
    return True


def _move(server: Server) -> None:
    """Give the member its new name; as root, since a server with users takes it from no other."""
    with server.connect(ROOT) as root:
        config = root.admin.command("replSetGetConfig")["config"]
        config["members"] = [{**config["members"][0], "host": server.member}]
        config["version"] += 1
        root.admin.command("replSetReconfig", config, force=True)


def _root(server: Server) -> str:
    """Create root through the localhost exception, or give it the password of its file."""
    if server.knows(ROOT):
        return f"{ROOT}: is there"
    password = server.password(ROOT)
    try:
        with server.connect() as nobody:
            nobody.admin.command("createUser", ROOT, pwd=password, roles=[ROOT])
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
    else:
        return f"{ROOT}: created"
    old = server.secrets / f"{ROOT}_password{OLD}"
    if old.exists() and server.knows(ROOT, OLD):
        with server.connect(ROOT, OLD) as root:
            root.admin.command("updateUser", ROOT, pwd=password)
        return f"{ROOT}: new password"
    msg = (
        f"password of root: expected the one that MongoDB knows in {server.secrets}, got another; "
        f"put the last one into {old.name}, and run this again"
    )
    raise StoreError(msg)


def _user(server: Server, root: Client, user: str, role: str) -> str:
    """Create a user of the campaign database, or mend its role and password."""
    db = root[server.database]
    roles = [{"role": role, "db": server.database}]
    known = db.command("usersInfo", user)["users"]
    if not known:
        db.command("createUser", user, pwd=server.password(user), roles=roles)
        return f"{user}: created, {role} on {server.database}"
    changes: dict[str, Any] = {}
    if known[0]["roles"] != roles:
        changes["roles"] = roles
    if not server.knows(user):
        changes["pwd"] = server.password(user)
    if not changes:
        return f"{user}: is there"
    db.command("updateUser", user, **changes)
    named = {"roles": "roles mended", "pwd": "new password"}
    return f"{user}: {', '.join(named[key] for key in changes)}"
