python3 - "$K" <<'END'
import mmap, os, socket, sys
k = sys.argv[1]
d = os.open(k, os.O_RDONLY)
m = mmap.mmap(d, 0, prot=mmap.PROT_READ)
os.close(d)
assert m[0:1]
END
