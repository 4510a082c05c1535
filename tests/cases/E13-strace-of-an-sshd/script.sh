read -r sshd < "$WORK/ready"
strace -o "$WORK/out" -p "$sshd" 2> "$WORK/said" & strace=$!
until grep -q attached "$WORK/said"; do kill -0 "$strace"; done
kill -INT "$strace"
wait "$strace" || true
