#!/usr/bin/env bash
# usage: entrypoint.sh SECRET KEYFILE OWNER mongod OPTION...
# Compose mounts secrets with the host's owner and mode; mongod wants a keyfile of its own user's
# that nobody else may read. So root copies it, before the image's entry point drops to that user.
set -euo pipefail
install -o "$3" -m 400 "$1" "$2"
exec docker-entrypoint.sh "${@:4}"
