python3 - "$PEER4" "$PEER6" "$PORT" <<'END'
import socket, sys
v4, v6, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((v4, port))
s.sendto(b'x', (v4, 9))
END
