mkdir -p "$K_DIR/disk/below"
mount -t tmpfs none "$K_DIR/disk/below"
mkdir "$K_DIR/disk/below/deep"
echo secret > "$K_DIR/disk/below/deep/s"
