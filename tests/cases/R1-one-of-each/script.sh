cat "$K" | wc -c
head -c 10 "$OTHER_K" | wc -c
exec 3<>"/dev/tcp/$PEER4/$PORT"
