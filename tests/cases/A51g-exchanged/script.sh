echo other > "$WORK/other"
python3 - "$K" "$WORK/other" <<'END'
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2
assert libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), EXCHANGE) == 0
END
