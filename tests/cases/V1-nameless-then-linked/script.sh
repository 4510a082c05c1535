python3 - "$K_DIR" "$K_DIR/made" <<'END'
import ctypes, os, sys
file = os.open(sys.argv[1], os.O_TMPFILE | os.O_WRONLY, 0o600)
os.write(file, b"token")
libc = ctypes.CDLL(None, use_errno=True)
AT_SYMLINK_FOLLOW = 0x400
assert libc.linkat(-100, f"/proc/self/fd/{file}".encode(), -100, sys.argv[2].encode(), AT_SYMLINK_FOLLOW) == 0
END
cat "$K_DIR/made"
