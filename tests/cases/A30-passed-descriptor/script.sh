python3 - "$K" <<'END'
import os, socket, sys
a, b = socket.socketpair()
child = os.fork()
if child == 0:
    _, (d,), _, _ = socket.recv_fds(b, 1, 1)
    assert os.read(d, 4)
    os._exit(0)
d = os.open(sys.argv[1], os.O_RDONLY)
socket.send_fds(a, [b'x'], [d])
assert os.waitpid(child, 0)[1] == 0
END
