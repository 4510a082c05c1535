zip "$WORK/out.zip" "$K"
