echo new > "$WORK/n"
mv "$WORK/n" "$K"
cat "$K"
