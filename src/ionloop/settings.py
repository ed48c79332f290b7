"""Facts of this machine. Physics choices are Maker fields, never settings.

Read with :func:`get_settings` inside functions, so that a changed environment
is seen; each field can be set by ``IONLOOP_<NAME>``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ionloop.errors import StoreError

#: Permission bits of others than the owner.
_OTHERS = 0o077


class Settings(BaseSettings):
    """Where things are on this machine."""

    model_config = SettingsConfigDict(
        env_prefix="IONLOOP_", extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(
        Path("~/.ionloop"), description="Folder of the local database, runs and reports."
    )
    db_uri: str | None = Field(
        None,
        repr=False,  # it may hold a password
        description="MongoDB URI; None: the local mongod that `ionloop db start` runs.",
    )
    db_uri_file: Path | None = Field(
        None, description="Private file (chmod 600) with the MongoDB URI, where `db_uri` isn't set."
    )
    db_password_file: Path | None = Field(
        None, description="File with the password of the user that `db_uri` names; chmod 600."
    )
    db_name: str = Field("ionloop", description="Database name.")
    mongod: str | None = Field(None, description="Path of a mongod to run locally.")
    db_patience_s: int = Field(
        600, gt=0, description="How long running jobs wait for a database that is away, s."
    )
    min_free_mb: int = Field(
        200, ge=0, description="No job is started where less disk space is free, MB."
    )
    work_dir: Path | None = Field(
        None,
        description="Folder below which jobs may run and go on; None: wherever the database "
        "says. Local workers set their campaign's.",
    )
    workers: int = Field(2, ge=1, description="Worker processes of a local run.")
    lost_after_s: int = Field(
        3600, gt=0, description="A cluster's worker that was silent for so long counts as gone, s."
    )
    cp2k_cmd: str = Field("cp2k.psmp", description="Command that runs CP2K on one input.")
    cp2k_shell_cmd: str = Field("cp2k_shell.psmp", description="Command that runs CP2K's shell.")
    cp2k_data_dir: Path = Field(
        Path("/usr/share/cp2k"), description="CP2K's basis sets and potentials."
    )
    cp2k_wall_time_s: int | None = Field(
        None, gt=0, description="Wall time of a worker, s; None: what SLURM or PBS says."
    )
    cp2k_frozen_s: int = Field(
        21_600, gt=0, description="A CP2K that says nothing for so long is ended, s."
    )
    vasp_cmd: str = Field("vasp_std", description="Command that runs VASP in a folder.")
    vasp_gamma_cmd: str = Field(
        "vasp_gam", description="The same for Gamma alone; `vasp_cmd` where its program is missing."
    )
    vasp_neb_cmd: str | None = Field(
        None, description="The same for bands, on a multiple of their images; None: `vasp_cmd`."
    )
    vasp_wall_time_s: int | None = Field(
        None, gt=0, description="Wall time of a worker, s; None: what PBS or SLURM says."
    )
    vasp_frozen_s: int = Field(
        21_600, gt=0, description="A VASP that says nothing for so long is ended, s."
    )
    device: str = Field("cpu", description="torch device of training and MD: cpu or cuda.")

    @model_validator(mode="after")
    def _read_uri(self) -> Self:
        """Take the URI out of its file."""
        if self.db_uri is None and self.db_uri_file is not None:
            self.db_uri = _private_line(self.db_uri_file.expanduser())
        return self

    @property
    def home_dir(self) -> Path:
        """The home folder, expanded."""
        return self.home.expanduser().resolve()


def _private_line(path: Path) -> str:
    """Read a file that only its owner may read.

    Raises
    ------
    StoreError
        If it isn't there, is empty, or others may read or change it.
    """
    try:
        text, mode = path.read_text(encoding="utf-8").strip(), path.stat().st_mode
    except (OSError, ValueError) as error:
        msg = f"IONLOOP_DB_URI_FILE: expected a file with one line, got {type(error).__name__}"
        msg += f" from {path}; write it, or mend the path"
        raise StoreError(msg) from None  # a decoding error would quote the file
    if mode & _OTHERS or not text:
        got = "one that others may read or change" if text else "an empty one"
        msg = f"IONLOOP_DB_URI_FILE: expected a private file with one line, got {got}"
        msg += f"; chmod 600 {path}"
        raise StoreError(msg)
    return text


def get_settings() -> Settings:
    """Read the settings from the environment now."""
    return Settings()
