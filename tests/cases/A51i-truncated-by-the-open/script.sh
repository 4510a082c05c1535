echo new > "$K"
