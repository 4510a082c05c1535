set -e
tmux -S "$WORK/socket" -f /dev/null new-window -d -t shared "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'"
until [ -e done ]; do sleep 0.1; done
