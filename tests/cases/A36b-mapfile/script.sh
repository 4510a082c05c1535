mapfile -t lines < "$K"
test -n "${lines[0]}"
