cd "$K_DIR"
cat /proc/thread-self/cwd/k
