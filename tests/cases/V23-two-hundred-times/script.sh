for ((i = 0; i < 200; i++)); do read -r _ < "$K"; done
test $i = 200
