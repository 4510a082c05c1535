tail -n 1 "$K"
