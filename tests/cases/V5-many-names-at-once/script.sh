python3 - "$K" "$K_DIR/other" <<'END'
import os, sys, threading
here, there = sys.argv[1:]
done = threading.Event()
def turn():
    while not done.is_set():
        os.rename(here, there)
        os.rename(there, here)
mover = threading.Thread(target=turn)
mover.start()
read = 0
while read < 50:
    for name in (here, there):
        try:
            with open(name, "rb") as file:
                file.read(1)
        except FileNotFoundError:
            continue
        read += 1
        if read == 50:
            break
done.set()
mover.join()
END
