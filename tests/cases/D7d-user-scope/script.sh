set -e
export XDG_RUNTIME_DIR=/run/user/$(id -u)
systemd-run --user --quiet --scope head -c 4 "$K" > /dev/null
