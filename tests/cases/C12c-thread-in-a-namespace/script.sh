python3 - "$OTHER_NETNS" "$SHARED4" "$PEER4" <<'END'
import ctypes, os, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
done = []
def there():
    assert libc.setns(os.open('/run/netns/' + sys.argv[1], os.O_RDONLY), 0x40000000) == 0
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((sys.argv[2], 4041))
    done.append(True)
t = threading.Thread(target=there)
t.start()
t.join()
assert done
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((sys.argv[3], 4042))
END
