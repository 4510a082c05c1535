set -e
sed 's/^0:://' /proc/self/cgroup > "$WORK/group"
: > "$WORK/ready"
until [ -e "$WORK/over" ]; do sleep 0.1; done
