python3 - "$PEER4" "$PEER6" "$PORT" <<'END'
import socket, sys
v4, v6, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket()
s.setblocking(False)
s.connect_ex((v4, port))
END
