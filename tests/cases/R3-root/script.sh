set -e
test "$(id -u)" = 0
mkdir -p "$K_DIR/deep/er"
echo secret > "$K_DIR/deep/er/x y"
note kept "$K_DIR/deep/er/x y"
tail -c 3 "$K_DIR/deep/er/x y"
"$WORK/copied-cat" /etc/hostname
nsenter --net=/run/netns/$NETNS ip -o addr
ssh -F "$SSH_CONFIG" jump-root id
