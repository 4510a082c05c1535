set -e
until [ -e victim ]; do sleep 0.1; done
read -r pid < victim
"$CASE_BIN" "$pid" "$K"
