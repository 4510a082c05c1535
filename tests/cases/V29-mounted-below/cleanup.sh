umount "$K_DIR/disk/below"
