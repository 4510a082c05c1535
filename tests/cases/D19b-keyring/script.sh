set -e
python3 - "$K" <<'END'
import ctypes, os, sys
add_key = {'x86_64': 248, 'aarch64': 217}[os.uname().machine]
secret = open(sys.argv[1], 'rb').read(4)
call = ctypes.CDLL(None, use_errno=True).syscall
# To the keyring of the account (-4).
key = call(add_key, b'user', b'monitor-case', secret, ctypes.c_size_t(len(secret)), -4)
assert key > 0, os.strerror(ctypes.get_errno())
END
: > up
until [ -e done ]; do sleep 0.1; done
