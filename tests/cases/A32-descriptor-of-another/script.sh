sleep 30 3< "$K" & other=$!
until [ -e "/proc/$other/fd/3" ]; do :; done
cat "/proc/$other/fd/3"
kill "$other"
