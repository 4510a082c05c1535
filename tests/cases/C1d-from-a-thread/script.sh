python3 - "$PEER4" "$PEER6" "$PORT" <<'END'
import socket, sys
v4, v6, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
import threading
def go():
    socket.create_connection((v4, port))
t = threading.Thread(target=go)
t.start()
t.join()
END
