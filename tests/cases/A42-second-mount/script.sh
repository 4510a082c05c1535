mkdir second
unshare -m bash -c "mount /dev/vda '$WORK/second' && head -c 1 '$WORK/second/etc/shadow'"
