set -e
tmux -S "$WORK/socket" -f /dev/null new-session -d "head -c 4 '$K' > out; : > done"
until [ -e done ]; do sleep 0.1; done
