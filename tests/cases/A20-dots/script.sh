cd "$K_DIR"
cat "./../$(basename "$K_DIR")/.//./k"
