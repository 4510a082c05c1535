cmp -s "$K" /dev/null
split "$K" "$WORK/part"
sort "$K"
od "$K"
