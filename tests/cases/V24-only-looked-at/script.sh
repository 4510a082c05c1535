set -e
stat "$K" > /dev/null
ls -lZ "$K_DIR" > /dev/null
find "$K_DIR" -name k -size +0 -readable > /dev/null
test -r "$K"
readlink -f "$K"
python3 - "$K" <<'END'
import os, sys
d = os.open(sys.argv[1], os.O_PATH)
os.fstat(d)
try:
    os.read(d, 1)
except OSError:
    sys.exit(0)
sys.exit(1)
END
