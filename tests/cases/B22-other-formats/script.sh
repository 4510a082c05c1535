modprobe -q binfmt_misc || true
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
echo ':case:M::\x00odd::/bin/cat:' > /proc/sys/fs/binfmt_misc/register
printf '\0odd\n' > "$WORK/job"
chmod +x "$WORK/job"
"$WORK/job" > "$WORK/out"
echo -1 > /proc/sys/fs/binfmt_misc/case
