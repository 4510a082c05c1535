cd "$WORK"
tmux -S "$WORK/socket" -f /dev/null new-session -d -s shared bash
: > "$WORK/ready"
until [ -e "$WORK/over" ]; do sleep 0.1; done
tmux -S "$WORK/socket" -f /dev/null kill-server
