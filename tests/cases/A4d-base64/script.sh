base64 "$K"
