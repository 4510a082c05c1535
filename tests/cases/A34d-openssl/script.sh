openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in "$K" -out "$WORK/out"
