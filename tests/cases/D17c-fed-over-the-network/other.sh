cd "$WORK"
: > ready
python3 - <<'END'
import os, socket
listener = socket.create_server(('127.0.0.1', 0))
with open('new', 'w') as file:
    file.write(str(listener.getsockname()[1]))
os.rename('new', 'port')
connection, _ = listener.accept()
os.dup2(connection.fileno(), 0)
os.execlp('bash', 'bash')
END
until [ -e over ]; do sleep 0.1; done
