set -e
group=$(cat group)
case $group in */session-*.scope) ;; *) exit 3 ;; esac
sudo sh -c 'echo $$ > "/sys/fs/cgroup$2/cgroup.procs"; exec head -c 4 "$1"' sh "$K" "$group" > /dev/null
