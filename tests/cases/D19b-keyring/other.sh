cd "$WORK"; : > ready
until [ -e up ]; do sleep 0.1; done
python3 - "$PEER4" "$PORT" <<'END'
import ctypes, os, socket, sys
keyctl = {'x86_64': 250, 'aarch64': 219}[os.uname().machine]
LINK, UNLINK, SEARCH, READ = 8, 9, 10, 11
call = ctypes.CDLL(None, use_errno=True).syscall
def ask(*what):
    said = call(keyctl, *what)
    assert said >= 0, os.strerror(ctypes.get_errno())
    return said
# The keyring of the account (-4), linked to that of the process (-2): then what is in it is ours.
ask(LINK, -4, -2)
key = ask(SEARCH, -4, b'user', b'monitor-case', 0)
room = ctypes.create_string_buffer(4)
assert ask(READ, key, room, ctypes.c_size_t(4)) == 4
ask(UNLINK, key, -4)
socket.create_connection((sys.argv[1], int(sys.argv[2]))).sendall(room.raw)
END
: > done
until [ -e over ]; do sleep 0.1; done
