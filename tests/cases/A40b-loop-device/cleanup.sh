losetup -d "$(cat "$WORK/device")"
