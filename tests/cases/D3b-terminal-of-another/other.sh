set -e
: > "$WORK/ready"
until [ -s "$WORK/terminal" ]; do sleep 0.1; done
setsid -w python3 -c '
import fcntl, os, sys, termios
terminal = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(terminal, termios.TIOCSCTTY, 1)
os.execv("/bin/true", ["true"])
' "$(cat "$WORK/terminal")"
: > "$WORK/taken"
until [ -e "$WORK/over" ]; do sleep 0.1; done
