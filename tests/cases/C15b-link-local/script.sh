python3 - "$IF" <<'END'
import socket, sys
scope = socket.if_nametoindex(sys.argv[1])
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect(('fe80::c15b', 4051, 0, scope))
s = socket.socket(socket.AF_INET6)
s.setblocking(False)
s.connect_ex(('fe80::c15b', 4052, 0, scope))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode())
s.connect(('fe80::c15b', 4053, 0, scope))
END
