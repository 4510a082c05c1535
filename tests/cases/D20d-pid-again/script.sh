set -e
read -r pid < gone
sudo bash -c '
for i in $(seq 200); do
  echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid
  bash -c "test \$\$ = $1 || exit 1; exec head -c 4 \"\$0\"" "$2" > /dev/null && exit 0
done
exit 1' bash "$pid" "$K"
