mv "$K" "$WORK/m"
cat "$WORK/m"
