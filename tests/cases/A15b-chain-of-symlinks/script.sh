ln -s "$K_DIR" "$WORK/d"
ln -s "$WORK/d/k" "$WORK/s"
ln -s "$WORK/s" "$WORK/t"
cat "$WORK/t"
