python3 - "$PEER4" "$PORT" "$K" <<'END'
import os, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
file = os.open(sys.argv[3], os.O_RDONLY)
os.sendfile(s.fileno(), file, 0, 64)
END
