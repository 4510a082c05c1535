python3 - "$PEER4" "$PEER6" "$PORT" <<'END'
import socket, sys
v4, v6, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
FASTOPEN = 0x20000000
s = socket.socket()
s.sendto(b'x', FASTOPEN, (v4, port))
END
