"""Facts of this machine. Physics choices are Maker fields, never settings.

Read with :func:`get_settings` inside functions, so that a changed environment
is seen; each field can be set by ``IONLOOP_<NAME>``.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    cores: int | None = Field(
        None,
        ge=1,
        description="Cores that each worker has to itself, for the ledger; None: what SLURM "
        "says, outside of a batch job the worker's threads and the commands' processes.",
    )
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

    @property
    def home_dir(self) -> Path:
        """The home folder, expanded."""
        return self.home.expanduser().resolve()


def get_settings() -> Settings:
    """Read the settings from the environment now."""
    return Settings()
