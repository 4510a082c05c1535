head -c 3 "$K"
