python3 - "$K" <<'END'
import os, sys
d = os.open(sys.argv[1], os.O_RDONLY | os.O_NOATIME | os.O_CLOEXEC)
got = bytearray(6)
try:
    os.preadv(d, [got], 0, os.RWF_NOWAIT)
except BlockingIOError:
    os.preadv(d, [got], 0)
assert any(got)
END
