python3 - <<'END'
import socket
l = socket.create_server(('127.0.0.1', 0))
c = socket.create_connection(l.getsockname())
l.accept()
END
