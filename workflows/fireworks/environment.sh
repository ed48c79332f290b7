# What the login node and all workers need; `source` it.
export IONLOOP_HOME="<HOME>"
export IONLOOP_DB_NAME="<DB_NAME>"
export JOBFLOW_CONFIG_FILE="<FOLDER>/jobflow.yaml"
export FW_CONFIG_FILE="<FOLDER>/FW_config.yaml"
export PATH="<BIN>:$PATH"
# One thread a process, unless a kind of worker says more.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# The database; the password stands in a file of its own, which only you may read.
export IONLOOP_DB_URI="<DB_URI>"
export IONLOOP_DB_PASSWORD_FILE="<DB_PASSWORD_FILE>"
# Jobs run and go on nowhere but below this folder; all nodes see it.
export IONLOOP_WORK_DIR="<WORK_DIR>"
# FILL IN where compute nodes reach the database by a tunnel only, one for each batch job:
# source "<FOLDER>/tunnel.sh" USER@DATABASE_HOST
# FILL IN what your site's DFT code needs, for example
# module load vasp/6.4
# export IONLOOP_VASP_CMD="srun vasp_std" PMG_VASP_PSP_DIR="$HOME/potcars"
# module load cp2k
# export IONLOOP_CP2K_CMD="mpirun -np 16 cp2k.popt"
# export IONLOOP_CP2K_SHELL_CMD="mpirun -np 16 cp2k_shell.popt"   # bands
# export IONLOOP_CP2K_DATA_DIR="$CP2K_ROOT/data"
