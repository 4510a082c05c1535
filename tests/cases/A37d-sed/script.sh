sed -n p "$K"
