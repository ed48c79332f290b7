#!/usr/bin/env bash
# Docker mounts secrets with the host's owner and mode; mongod wants a keyfile of its own user's,
# mode 400. So root copies them to a tmpfs before the image's entry point drops to mongodb.
set -euo pipefail
for secret in /run/secrets/*; do
  install -o mongodb -g mongodb -m 400 "$secret" /run/ionloop/
done
exec docker-entrypoint.sh "$@"
