python3 - <<'END'
import os
os.chroot(os.environ['K_DIR'])
assert open('/k').read()
END
