LD_PRELOAD="$CASE_DIR/libreads.so" /bin/true
