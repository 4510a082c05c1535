python3 - "$PEER4" "$PEER6" "$PORT" <<'END'
import socket, sys
v4, v6, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
import ctypes, struct
libc = ctypes.CDLL(None)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((v4, port))
libc.connect(s.fileno(), struct.pack('H14x', 0), 16)
s.connect((v4, 9))
END
