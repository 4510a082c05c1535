cat "$K" > "$WORK/out"
