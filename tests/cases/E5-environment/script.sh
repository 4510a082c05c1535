sleep 20 & other=$!
until cat "/proc/$other/environ" > "$WORK/e" && test -s "$WORK/e"; do :; done
kill "$other"
