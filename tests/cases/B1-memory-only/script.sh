python3 - <<'END'
import os
d = os.memfd_create('nothing', 0)
os.write(d, open('/bin/sleep', 'rb').read())
os.execve(d, ['sleep', '0'], {})
END
