set -e
tmux -S "$WORK/socket" -f /dev/null send-keys -t shared "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'" Enter
until [ -e done ]; do sleep 0.1; done
