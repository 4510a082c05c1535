set -e
rc="$HOME/.bashrc"
[ ! -e "$rc" ] || cp -p "$rc" kept
trap 'if [ -e kept ]; then mv kept "$rc"; else rm -f "$rc"; fi' EXIT
printf '\nhead -c 4 "%s" > "%s/out"\n' "$K" "$WORK" >> "$rc"
: > up
until [ -e done ]; do sleep 0.1; done
