python3 - "$SHARED4" "$IF" "$OTHER_IF" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for interface in sys.argv[2:]:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    s.sendto(b'x', (sys.argv[1], 8080))
END
