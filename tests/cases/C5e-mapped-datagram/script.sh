python3 - "::ffff:$PEER4" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.sendto(b'x', (sys.argv[1], 4021))
s.sendto(b'x', (sys.argv[1], 4021))
END
