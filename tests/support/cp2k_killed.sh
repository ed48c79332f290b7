# CP2K on a machine that kills it: its first $KILLS runs, as soon as $KILL_FILE holds $KILL_WORD.
# Each run adds a line to $KILL_LOG.
program=${KILL_PROGRAM:-cp2k.psmp}
echo run >> "$KILL_LOG"
[ "$(wc -l < "$KILL_LOG")" -gt "$KILLS" ] && exec "$program" "$@"
exec 3<&0
"$program" "$@" <&3 &
pid=$!
until grep -q "$KILL_WORD" "$KILL_FILE" 2>/dev/null; do
    kill -0 $pid 2>/dev/null || break
    sleep 0.02
done
kill -9 $pid
wait $pid
exit $?
