cp "$CASE_BIN" "$WORK/p"
chmod 4755 "$WORK/p"
echo secret > "$K_DIR/of-root"
chmod 600 "$K_DIR/of-root"
