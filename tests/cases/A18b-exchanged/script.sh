echo other > "$WORK/o"
note o "$WORK/o"
python3 - "$K" "$WORK/o" <<'END'
import ctypes, sys
libc = ctypes.CDLL(None)
assert libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2) == 0
END
cat "$K"
