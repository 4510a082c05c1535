less "$K" > "$WORK/out"
