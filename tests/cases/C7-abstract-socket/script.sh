python3 - <<'END'
import os, socket
name = b'\0case-%d' % os.getpid()
l = socket.socket(socket.AF_UNIX)
l.bind(name)
l.listen()
c = socket.socket(socket.AF_UNIX)
c.connect(name)
END
