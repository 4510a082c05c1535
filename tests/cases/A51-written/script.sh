echo more >> "$K"
