chmod 640 "$K"
