rsync "$K" "$WORK/out"
