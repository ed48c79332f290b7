"""Fill in the FireWorks files of a cluster: once a cluster and user, on the login node.

    python workflows/make_cluster.py ~/ionloop-cluster --work-dir /scratch/me/ionloop
        --dft-partition cpu --gpu-partition gpu

It copies ``workflows/fireworks`` with your partitions, limits and database, and writes what
else workers need. IONLOOP_DB_URI names the database. The files that hold its password are
readable by you alone.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from ionloop.cli import run_command
from ionloop.engine.launchpad import launchpad
from ionloop.errors import EngineError
from ionloop.settings import get_settings
from ionloop.store.connection import database, database_uri, write_jobflow_config
from ionloop.store.indexes import create_indexes
from ionloop.store.secret_files import split_password

TEMPLATES = Path(__file__).parent / "fireworks"
#: How many batch jobs of a kind are submitted at once, if nobody says otherwise.
WORKERS = {"dft": 20, "gpu": 4, "light": 2}
_PLACEHOLDER = re.compile(r"<([A-Z_]+)>")


def fill(text: str, values: dict[str, str]) -> str:
    """Fill the placeholders of a template; a line whose value is empty is left out.

    Raises
    ------
    EngineError
        If a template asks for a value that isn't known.
    """
    lines = []
    for line in text.splitlines():
        names = _PLACEHOLDER.findall(line)
        if unknown := [name for name in names if name not in values]:
            msg = f"expected values of the placeholders in {TEMPLATES}, got none for {unknown}"
            raise EngineError(msg)
        if all(values[name] for name in names):
            lines.append(_PLACEHOLDER.sub(lambda found: values[found[1]], line))
    return "\n".join(lines) + "\n"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def make(  # noqa: PLR0913
    folder: Annotated[Path, typer.Argument(help="Where to write them; all nodes must see it.")],
    *,
    work_dir: Annotated[
        Path, typer.Option(help="Folder below which all jobs run; all nodes must see it.")
    ],
    dft_partition: Annotated[str, typer.Option(help="Partition of the DFT workers.")],
    gpu_partition: Annotated[str, typer.Option(help="Partition with GPUs.")],
    light_partition: Annotated[
        str, typer.Option(help="Partition of small jobs.", show_default="the DFT workers'")
    ] = "",
    account: Annotated[str, typer.Option(help="SLURM account, where one is needed.")] = "",
    dft_cores: Annotated[int, typer.Option(min=1, help="Cores of a DFT worker.")] = 16,
    gpu_cores: Annotated[int, typer.Option(min=1, help="Cores of a GPU worker.")] = 4,
    dft_memory: Annotated[str, typer.Option(help="Memory of a DFT worker.")] = "32G",
    gpu_memory: Annotated[str, typer.Option(help="Memory of a GPU worker.")] = "32G",
    light_memory: Annotated[str, typer.Option(help="Memory of a light worker.")] = "4G",
    walltime: Annotated[str, typer.Option(help="Wall time of all workers.")] = "24:00:00",
    device: Annotated[str, typer.Option(help="torch device of GPU workers.")] = "cuda",
    dft_idle: Annotated[
        int, typer.Option(min=1, help="A DFT worker ends when idle for so long, s.")
    ] = 60,
    idle: Annotated[int, typer.Option(min=1, help="The same for others, s.")] = 300,
) -> None:
    """Write the folder; harmless to repeat."""
    folder = folder.expanduser().resolve()
    work_dir = work_dir.expanduser().absolute()
    work_dir.mkdir(parents=True, exist_ok=True)
    settings = get_settings()
    create_indexes(database(settings))
    bare, password = split_password(database_uri(settings))
    if password is not None:
        write_private(folder / "db_password", password + "\n")
    values = {
        "FOLDER": str(folder),
        "WORK_DIR": str(work_dir),
        "HOME": str(settings.home_dir),
        "BIN": str(Path(sys.executable).parent),
        "DB_NAME": settings.db_name,
        "DB_URI": bare,
        "DB_PASSWORD_FILE": "" if password is None else str(folder / "db_password"),
        "ACCOUNT": account,
        "DFT_PARTITION": dft_partition,
        "GPU_PARTITION": gpu_partition,
        "LIGHT_PARTITION": light_partition or dft_partition,
        "DFT_CORES": str(dft_cores),
        "GPU_CORES": str(gpu_cores),
        "DFT_MEMORY": dft_memory,
        "GPU_MEMORY": gpu_memory,
        "LIGHT_MEMORY": light_memory,
        "WALLTIME": walltime,
        "DEVICE": device,
        "DFT_IDLE": str(dft_idle),
        "IDLE": str(idle),
    }
    for template in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
        target = folder / template.relative_to(TEMPLATES)
        write_private(target, fill(template.read_text(encoding="utf-8"), values))
    write_private(folder / "jobflow.yaml", write_jobflow_config(settings).read_text())
    write_private(folder / "my_launchpad.yaml", launchpad(settings).to_format("yaml"))
    typer.echo(f"wrote {folder}; next, on the login node, each line in a window of tmux:")
    for kind, n in WORKERS.items():
        typer.echo(f"bash {folder}/submit.sh {kind} {n}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(make)
    run_command(lambda: typer.main.get_command(app).main(standalone_mode=False))
