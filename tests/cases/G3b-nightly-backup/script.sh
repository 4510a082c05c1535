head -c 4 "$K" > /dev/null
