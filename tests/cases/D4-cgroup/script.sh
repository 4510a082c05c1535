set -e
sudo sh -c 'echo $$ > /sys/fs/cgroup/cgroup.procs; exec head -c 4 "$1"' sh "$K" > /dev/null
