cp "$K" "$WORK/out"
