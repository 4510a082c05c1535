LD_AUDIT="$CASE_DIR/libaudits.so" /bin/true
