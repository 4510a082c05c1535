python3 - "$PEER4" "$PEER6" "$PORT" <<'END'
import socket, sys
v4, v6, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for turn in range(3):
    s.sendto(b'x', (v4, port))
    s.sendto(b'x', (v4, 9))
s6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for turn in range(3):
    s6.sendto(b'x', (v6, port))
END
