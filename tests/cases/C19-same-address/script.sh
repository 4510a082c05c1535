python3 - "$SHARED4" "$IF" "$OTHER_IF" <<'END'
import socket, sys
for interface in sys.argv[2:]:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    s.settimeout(5)
    s.connect_ex((sys.argv[1], 8080))
END
