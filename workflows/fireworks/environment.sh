# What the login node and all workers need; `source` it. Only you may read it.
export IONLOOP_HOME="<HOME>"
export IONLOOP_DB_NAME="<DB_NAME>"
export JOBFLOW_CONFIG_FILE="<FOLDER>/jobflow.yaml"
export FW_CONFIG_FILE="<FOLDER>/FW_config.yaml"
export PATH="<BIN>:$PATH"
# One thread a process, unless a kind of worker says more.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# The database: a URI with user and password, so this file is yours alone.
export IONLOOP_DB_URI="<DB_URI>"
# FILL IN what your site's DFT code needs, for example
# module load vasp/6.4
# export IONLOOP_VASP_CMD="srun vasp_std" PMG_VASP_PSP_DIR="$HOME/potcars"
# export IONLOOP_CP2K_CMD="mpirun -np 16 cp2k.popt"
