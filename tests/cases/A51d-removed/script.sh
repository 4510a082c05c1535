rm "$K"
