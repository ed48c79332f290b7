#!/usr/bin/env bash
# Submit workers of a kind (dft, gpu or light) while jobs of it wait, until Ctrl-C or SIGTERM.
# usage: submit.sh KIND [MAX [SECONDS]]
#   MAX      batch jobs of yours in its partition at once, 10
#   SECONDS  between two looks, 60
# qlaunch's own loop ends for good at the first error of sbatch, squeue or the database, and says so
# in its output only: hence the loop around it.
kind=${1:-} max=${2:-10} seconds=${3:-60} folder="<FOLDER>"
[[ $# -gt 0 && -f $folder/$kind/my_qadapter.yaml ]] || {
  echo "submit.sh: expected dft, gpu or light, got '$kind'; submit.sh KIND [MAX [SECONDS]]" >&2
  exit 2
}
source "$folder/environment.sh"
mkdir -p "$IONLOOP_WORK_DIR/$kind" && cd "$IONLOOP_WORK_DIR/$kind" || exit 1
child=
stop() {
  trap - INT TERM HUP
  [[ -z $child ]] || { kill "$child"; wait "$child"; } 2>/dev/null
  echo "submit.sh: told to end by SIG$1; no more workers for $kind jobs, those in the queue stay" >&2
  exit 0
}
for signal in INT TERM HUP; do trap "stop $signal" "$signal"; done
while true; do
  # In the background: bash hears a signal while it waits, but not while a program runs.
  qlaunch -l "$folder/my_launchpad.yaml" -c "$folder/$kind" rapidfire \
    -m "$max" --nlaunches infinite --sleep "$seconds" &
  child=$!
  wait "$child"
  echo "submit.sh: qlaunch for $kind jobs ended with status $?; again in $seconds s" >&2
  sleep "$seconds" &
  child=$!
  wait "$child"
done
