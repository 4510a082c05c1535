sleep 60 & other=$!
until [ "$(cat "/proc/$other/comm")" = sleep ]; do :; done
gcore -o "$WORK/core" "$other" > "$WORK/out"
test -s "$WORK/core.$other"
kill "$other"
