rm "$K"
echo new > "$K"
cat "$K"
