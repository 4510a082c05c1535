cat "$K" >/dev/null
