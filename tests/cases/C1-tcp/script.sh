exec 3<>"/dev/tcp/$PEER4/$PORT"
exec 4<>"/dev/tcp/$PEER6/$PORT"
