python3 - <<'END'
import socket
name = b'\0case\0c7e\xff\0'
l = socket.socket(socket.AF_UNIX)
l.bind(name)
l.listen()
socket.socket(socket.AF_UNIX).connect(name)
END
