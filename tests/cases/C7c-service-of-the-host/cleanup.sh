kill "$(cat "$WORK/.pid")"
