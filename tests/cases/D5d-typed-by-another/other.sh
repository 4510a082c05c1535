: > "$WORK/ready"
until [ -e "$WORK/up" ]; do sleep 0.1; done
tmux -S "$WORK/socket" -f /dev/null send-keys -t shared "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'" Enter
until [ -e "$WORK/over" ]; do sleep 0.1; done
