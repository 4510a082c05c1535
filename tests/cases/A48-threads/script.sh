python3 - "$K" <<'END'
import os, sys, threading
found = []
opener = threading.Thread(target=lambda: found.append(os.open(sys.argv[1], os.O_RDONLY)))
opener.start()
opener.join()
readers = [threading.Thread(target=lambda: os.pread(found[0], 1, 0)) for _ in range(63)]
for reader in readers:
    reader.start()
for reader in readers:
    reader.join()
END
