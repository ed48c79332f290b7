#!/usr/bin/env bash
# Write the secrets that docker-compose.yml names, each once: an existing file is left alone.
# usage: docker/make-secrets.sh [--renew NAME]... [FOLDER]
#   FOLDER   docker/secrets, or $IONLOOP_SECRETS
#   --renew  write root_password, runner_password or viewer_password anew
# `ionloop db init`, which compose runs at every `up`, tells MongoDB of new passwords.
set -euo pipefail
renewed=()
while [[ ${1:-} == --renew ]]; do
  [[ ${2:-} =~ ^(root|runner|viewer)_password$ ]] || {
    echo "--renew: expected root_password, runner_password or viewer_password," \
      "got '${2:-}'; name one of them" >&2; exit 2; }
  renewed+=("$2")
  shift 2
done
folder=${1:-${IONLOOP_SECRETS:-$(dirname "${BASH_SOURCE[0]}")/secrets}}
umask 077
mkdir -p "$folder"
for name in "${renewed[@]}"; do
  if [[ $name == root_password && -s $folder/$name ]]; then
    cp "$folder/$name" "$folder/$name.old"  # it alone can give root a new one
  fi
  : >"$folder/$name"  # emptied in place: containers that mount the file see the new one
done
make_secret() {  # name, random bytes
  [[ -s $folder/$1 ]] || head -c "$2" /dev/urandom | base64 -w 0 | tr '+/' '-_' >"$folder/$1"
}
# A keyfile may hold base64 only (not the URL kind).
[[ -s $folder/keyfile ]] || head -c 741 /dev/urandom | base64 -w 0 >"$folder/keyfile"
make_secret root_password 24
make_secret runner_password 24
make_secret viewer_password 24
