python3 - <<'END'
import os, socket
l = socket.create_server(('127.0.0.1', 0))
child = os.fork()
if child == 0:
    l.accept()
    os._exit(0)
c = socket.create_connection(l.getsockname())
os.waitpid(child, 0)
END
