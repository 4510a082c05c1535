cp "$CASE_BIN" "$WORK/p"
cp /bin/false "$WORK/q"
note first "$WORK/p"
"$WORK/p" "$WORK/q" "$WORK/p"
