test "$(id -u)" != 0
"$WORK/p" "$K_DIR/of-root"
