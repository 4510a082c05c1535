python3 - "$PEER4" "$PORT" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(3):
    s.sendto(b'x', (sys.argv[1], int(sys.argv[2])))
END
