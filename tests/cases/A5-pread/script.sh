python3 - "$K" <<'END'
import mmap, os, socket, sys
k = sys.argv[1]
d = os.open(k, os.O_RDONLY)
assert os.pread(d, 4, 1)
END
