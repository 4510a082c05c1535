set -e
test "$(cat /proc/self/loginuid)" = "$(id -u)"
test "$(cat /proc/self/sessionid)" != 4294967295
test -n "$XDG_SESSION_ID"
grep -q "/session-$XDG_SESSION_ID.scope" /proc/self/cgroup
head -c 4 "$K" > /dev/null
sudo sh -c 'echo 4294967295 > /proc/self/loginuid; exec tail -c 4 "$1"' sh "$K" > /dev/null
