cd "$WORK"
: > ready
socat UNIX-LISTEN:door EXEC:bash
until [ -e over ]; do sleep 0.1; done
