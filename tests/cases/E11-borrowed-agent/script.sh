echo order > "$WORK/order"
SSH_AUTH_SOCK="$K_DIR/agent" ssh-keygen -Y sign -n case -f "$WORK/key.pub" "$WORK/order"
test -s "$WORK/order.sig"
