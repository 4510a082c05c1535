setsid python3 - "$WORK" > "$WORK.log" 2>&1 <<'END' &
import os, socket, sys
l = socket.socket(socket.AF_UNIX)
l.bind(sys.argv[1] + '/docker.sock')
os.chmod(sys.argv[1] + '/docker.sock', 0o666)
l.listen()
open(sys.argv[1] + '/.pid', 'w').write(str(os.getpid()))
while True:
    c, _ = l.accept()
    c.recv(4096)
    c.sendall(b'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK')
    c.close()
END
until [ -s "$WORK/.pid" ]; do sleep 0.1; done
rm -f "$WORK.log"
