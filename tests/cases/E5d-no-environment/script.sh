cat /proc/2/environ || true
cat /proc/2/mem || true
sleep 60 & other=$!
until [ "$(cat "/proc/$other/comm")" = sleep ]; do :; done
cat "/proc/$other/environ" > "$WORK/out"
kill "$other"
