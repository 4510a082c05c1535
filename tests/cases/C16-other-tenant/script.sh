exec 3<>"/dev/tcp/$OTHER_PEER4/$PORT"
exec 4<>"/dev/tcp/$OTHER_PEER6/$PORT"
