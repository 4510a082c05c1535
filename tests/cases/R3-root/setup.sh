test "$(id -u)" = 0
cp /bin/cat "$WORK/copied-cat"
