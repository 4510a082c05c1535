head -c 64 /dev/mem > "$WORK/out"
test -s "$WORK/out"
