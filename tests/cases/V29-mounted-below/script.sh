mkdir "$K_DIR/m"
unshare -m bash -c 'mount -t tmpfs none "$K_DIR/m"; echo secret > "$K_DIR/m/s"; stat -c "mounted %d %i" "$K_DIR/m/s" >> "$WORK/.noted"; cat "$K_DIR/m/s"'
