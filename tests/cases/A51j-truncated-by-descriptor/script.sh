truncate -s 2 "$K"
