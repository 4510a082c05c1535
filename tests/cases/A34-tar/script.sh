tar -cf - -C "$K_DIR" k | wc -c
