cat "$K" | wc -c
