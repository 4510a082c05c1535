cp /bin/sleep "$WORK/p"
note p "$WORK/p"
exec 3< "$WORK/p"
rm "$WORK/p"
/proc/self/fd/3 0
