python3 - "$K" <<'END'
import mmap, os, socket, sys
k = sys.argv[1]
d = os.open(k, os.O_RDONLY)
o = os.open("out", os.O_WRONLY | os.O_CREAT, 0o600)
assert os.copy_file_range(d, o, 4)
END
