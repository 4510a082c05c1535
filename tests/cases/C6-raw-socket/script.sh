python3 - <<'END'
import socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
END
