strace -qq -o "$WORK/out" -e trace=exit_group /bin/true
