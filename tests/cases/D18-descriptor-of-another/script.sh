set -e
until [ -S door ]; do sleep 0.1; done
python3 - <<'END'
import os, socket
s = socket.socket(socket.AF_UNIX)
s.connect('door')
_, (d,), _, _ = socket.recv_fds(s, 1, 1)
assert os.read(d, 4)
END
