mv "$K" "$K_DIR/other"
