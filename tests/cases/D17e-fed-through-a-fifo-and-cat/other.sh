cd "$WORK"; mkfifo pipe
: > ready
cat pipe | bash
until [ -e over ]; do sleep 0.1; done
