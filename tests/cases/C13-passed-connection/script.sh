python3 - "$WORK" "$PEER4" <<'END'
import socket, sys
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.connect((sys.argv[2], 4031))
bare = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
c = socket.socket(socket.AF_UNIX)
c.connect(sys.argv[1] + '/door')
socket.send_fds(c, [b'x'], [made.fileno(), bare.fileno()])
assert c.recv(1) == b'y'
END
