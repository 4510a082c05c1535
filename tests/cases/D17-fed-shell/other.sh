cd "$WORK"; mkfifo pipe
: > ready
bash < pipe
until [ -e over ]; do sleep 0.1; done
