# For environment.sh: reach a database that listens on its own machine only.
# usage: source tunnel.sh USER@HOST [PORT of mongod there, 27017]
# Each batch job gets a tunnel and a port of its own, as several share a node. It ends with the job.
# On the login node nothing is done: keep one tunnel there, see docs/howto/cluster.md.
if [[ -n ${SLURM_JOB_ID:-} ]]; then
  for _ in 1 2 3 4 5; do # a port may be another's
    ionloop_port=$((20000 + RANDOM % 12000))
    if ssh -fN -o BatchMode=yes -o ExitOnForwardFailure=yes -o ServerAliveInterval=30 \
      -L "127.0.0.1:$ionloop_port:127.0.0.1:${2:-27017}" "$1"; then
      # The member's own name leads nowhere from here: directConnection=true keeps to this port.
      ionloop_uri=$(sed -E "s#(//([^@/]*@)?)[^/?]+#\\1127.0.0.1:$ionloop_port#" <<<"$IONLOOP_DB_URI")
      break
    fi
  done
  [[ -n ${ionloop_uri:-} ]] || {
    echo "tunnel.sh: expected a tunnel to $1 from $(hostname), got none; try ssh $1 there" >&2
    exit 1
  }
  [[ $ionloop_uri == *directConnection=true* ]] || {
    echo "tunnel.sh: expected directConnection=true in IONLOOP_DB_URI; add it" >&2
    exit 1
  }
  export IONLOOP_DB_URI=$ionloop_uri
  unset ionloop_uri ionloop_port
fi
