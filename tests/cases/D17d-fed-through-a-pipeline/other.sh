cd "$WORK"
: > ready
python3 -c '
import os, socket
listener = socket.create_server(("127.0.0.1", 0))
with open("new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename("new", "port")
connection, _ = listener.accept()
while said := connection.recv(4096):
    os.write(1, said)
' | cat | bash
until [ -e over ]; do sleep 0.1; done
