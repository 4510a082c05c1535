set -e
mkdir -p "$WORK/tree/etc" "$WORK/tree/usr" "$WORK/tree/k"
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$WORK/tree/$folder"; done
echo ID=case > "$WORK/tree/etc/os-release"
