set -e
trap 'ssh -F "$SSH_CONFIG" -S "$WORK/c" -O exit jump 2> /dev/null' EXIT
ssh -F "$SSH_CONFIG" -M -S "$WORK/c" -f -N -o ExitOnForwardFailure=yes \
  -L "127.0.0.1:47181:[$PEER6]:$PORT" -D 127.0.0.1:47182 jump > /dev/null 2>&1
python3 - "$PEER4" "$PORT" <<'END'
import socket, struct, sys
s = socket.create_connection(('127.0.0.1', 47181))
s.recv(4)
s = socket.create_connection(('127.0.0.1', 47182))
s.sendall(struct.pack('!BBH', 4, 1, int(sys.argv[2])) + socket.inet_aton(sys.argv[1]) + b'\0')
assert s.recv(8)[1] == 90
s.recv(4)
END
