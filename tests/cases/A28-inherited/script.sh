cat < "$K"
