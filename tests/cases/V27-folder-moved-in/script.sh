set -e
mkdir -p "$WORK/from/deep"
echo secret > "$WORK/from/deep/s"
note moved "$WORK/from/deep/s"
mv "$WORK/from" "$K_DIR/to"
cat "$K_DIR/to/deep/s"
