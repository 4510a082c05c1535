python3 - "$WORK" "$PEER4" <<'END'
import os, socket, sys
work = sys.argv[1]
l = socket.socket(socket.AF_UNIX)
l.bind(work + '/door')
os.chmod(work + '/door', 0o666)
l.listen()
open(work + '/ready', 'w')
c, _ = l.accept()
_, (made, bare), _, _ = socket.recv_fds(c, 1, 2)
assert socket.socket(fileno=made).send(b'x') == 1
socket.socket(fileno=bare).connect((sys.argv[2], 4032))
c.sendall(b'y')
END
