python3 - "$K_DIR" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
OPEN_TREE, CLONE, CLOEXEC = 428, 1, 0o2000000
tree = libc.syscall(OPEN_TREE, -100, sys.argv[1].encode(), CLONE | CLOEXEC)
assert tree >= 0, ctypes.get_errno()
file = os.open("k", os.O_RDONLY, dir_fd=tree)
assert os.read(file, 1)
END
