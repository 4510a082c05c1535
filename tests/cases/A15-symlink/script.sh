ln -s "$K" "$WORK/s"
cat "$WORK/s"
