#!/usr/bin/env bash
# Write the secrets that docker-compose.yml names, each once: an existing file is left alone.
# usage: docker/make-secrets.sh [FOLDER]   (default docker/secrets, or $IONLOOP_SECRETS)
set -euo pipefail
folder=${1:-${IONLOOP_SECRETS:-$(dirname "${BASH_SOURCE[0]}")/secrets}}
umask 077
mkdir -p "$folder"
make_secret() {  # name, random bytes
  [[ -s $folder/$1 ]] || head -c "$2" /dev/urandom | base64 -w 0 | tr '+/' '-_' >"$folder/$1"
}
# A keyfile may hold base64 only (not the URL kind); passwords go into URIs, so they are that kind.
[[ -s $folder/keyfile ]] || head -c 741 /dev/urandom | base64 -w 0 >"$folder/keyfile"
make_secret root_password 24
make_secret runner_password 24
make_secret viewer_password 24
