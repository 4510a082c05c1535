umount "$K_DIR/volume" "$WORK/top"
losetup -d "$(cat "$WORK/device")"
