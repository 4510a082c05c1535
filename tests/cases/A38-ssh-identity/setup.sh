ssh-keygen -q -t ed25519 -N '' -C case -f "$WORK/new"
cat "$WORK/new" > "$K"
