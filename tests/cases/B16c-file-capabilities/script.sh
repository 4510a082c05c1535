! cat "$K_DIR/of-root"
"$WORK/p" "$K_DIR/of-root"
