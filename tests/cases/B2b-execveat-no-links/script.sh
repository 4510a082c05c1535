cp /bin/true "$WORK/p"
ln -s p "$WORK/s"
"$CASE_BIN" "$WORK"
