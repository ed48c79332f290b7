#!/usr/bin/env bash
# Clone a repository afresh, run `make nightly` there, and keep its log and exit status.
# usage: run.sh [REPOSITORY [FOLDER]]
#   REPOSITORY  the origin of the clone that this script is in
#   FOLDER      ~/.cache/ionloop-nightly: checkout/ of the last night, logs/ of 30 days, and
#               history, a line a night: begin, commit, seconds, exit status
set -uo pipefail
repository=${1:-$(git -C "$(dirname "${BASH_SOURCE[0]}")" remote get-url origin)} || exit 2
folder=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/ionloop-nightly}
mkdir -p "$folder/logs" && cd "$folder" || exit 2
exec 9>lock
flock --nonblock 9 || { echo "run.sh: another one runs in $folder; wait for it" >&2; exit 2; }
begin=$(date +%FT%H%M%S)
SECONDS=0
{
  rm -rf checkout && git clone --quiet "$repository" checkout && make -C checkout nightly
} 9>&- >"logs/$begin.log" 2>&1 </dev/null
status=$?
commit=$(git -C checkout rev-parse --short HEAD 2>/dev/null) || commit=none
echo "$begin $commit $SECONDS $status" | tee -a history
find logs -name '*.log' -mtime +30 -delete
exit "$status"
