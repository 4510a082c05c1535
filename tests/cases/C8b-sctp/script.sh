python3 - "$PEER4" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.setblocking(False)
s.connect_ex((sys.argv[1], 4081))
END
