set -e
(cd "$K_DIR"; exec sleep 30) &
while [ "$(readlink /proc/$!/cwd)" != "$K_DIR" ] || [ "$(cat /proc/$!/comm)" != sleep ]; do :; done
cat "/proc/$!/root$K"
cat "/proc/$!/cwd/k"
kill $!
