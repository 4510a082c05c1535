set -e
mkdir -p "$K_DIR/from/deep"
echo secret > "$K_DIR/from/deep/s"
note moved "$K_DIR/from/deep/s"
mv "$K_DIR/from" "$WORK/to"
cat "$WORK/to/deep/s"
