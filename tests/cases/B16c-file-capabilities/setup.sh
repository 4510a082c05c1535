cp "$CASE_BIN" "$WORK/p"
setcap cap_dac_read_search+ep "$WORK/p"
echo secret > "$K_DIR/of-root"
chmod 600 "$K_DIR/of-root"
