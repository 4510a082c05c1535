"$CASE_BIN"
dd if=/proc/self/mem of=/dev/null bs=1 count=1 skip=4194304 || true
