head -c 64 /proc/kcore > "$WORK/out"
test -s "$WORK/out"
