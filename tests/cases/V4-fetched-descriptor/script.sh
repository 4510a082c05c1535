sleep 30 3< "$K" & other=$!
until [ -e "/proc/$other/fd/3" ]; do :; done
"$CASE_BIN" "$other"
kill "$other"
